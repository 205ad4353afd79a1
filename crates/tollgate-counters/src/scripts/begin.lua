-- Begins to count an allowance with what the books say was used, unless somebody has begun already. Where only some of its counts were lost,
-- those that are there stay: the books may not have all of it yet.
-- KEYS[1] the prefix; ARGV: identity, an epoch for where there is none, the time before which calls ended that are among it (milliseconds
-- since 1970), then for each subject: its key, when that may be forgotten, the amount.
local p = KEYS[1]
if redis.call('SET', p .. ':known:' .. ARGV[1], ARGV[3], 'NX') == false then
  return 0
end
redis.call('SADD', p .. ':counted', ARGV[1])
redis.call('SET', p .. ':epoch', ARGV[2], 'NX')
redis.call('DEL', p .. ':lost:' .. ARGV[1])
for first = 4, #ARGV, 3 do
  local key = p .. ':used:' .. ARGV[first]
  if tonumber(redis.call('GET', key) or '0') < tonumber(ARGV[first + 2]) then
    redis.call('SET', key, ARGV[first + 2])
  end
  redis.call('PEXPIREAT', key, ARGV[first + 1])
  redis.call('ZADD', p .. ':ends', ARGV[first + 1], key)
end
return 1
