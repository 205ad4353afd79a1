-- Begins to count an allowance with what the books say was used, unless somebody has begun already.
-- KEYS[1] the prefix; ARGV: identity, an epoch for where there is none, the time before which calls ended that are among it (milliseconds
-- since 1970), then for each subject: its key, when that may be forgotten, the amount.
local p = KEYS[1]
if redis.call('SET', p .. ':known:' .. ARGV[1], ARGV[3], 'NX') == false then
  return 0
end
redis.call('SET', p .. ':epoch', ARGV[2], 'NX')
for first = 4, #ARGV, 3 do
  local key = p .. ':used:' .. ARGV[first]
  redis.call('SET', key, ARGV[first + 2])
  redis.call('PEXPIREAT', key, ARGV[first + 1])
end
return 1
