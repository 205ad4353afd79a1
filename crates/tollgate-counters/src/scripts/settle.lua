-- Gives back what a call holds, and adds what it used.
-- KEYS[1] the prefix; ARGV: node, hold ('' where it holds nothing), the epoch that it was taken in, then for each allowance of which
-- something was used: its key, when that may be forgotten (milliseconds since 1970), the amount.
-- Gives what was used of each with that; nothing where it was settled before.
-- A hold is settled once. Where it is gone with the epoch, nothing was given back for it, and what it used counts all the same.
local p, node, hold = KEYS[1], ARGV[1], ARGV[2]
if hold ~= '' then
  local held = redis.call('HGET', p .. ':holds:' .. node, hold)
  if held then
    redis.call('HDEL', p .. ':holds:' .. node, hold)
    for _, one in ipairs(cjson.decode(held)) do
      local key = p .. ':reserved:' .. one[2]
      redis.call('DECRBY', key, one[3])
      if redis.call('GET', key) == '0' then
        redis.call('DEL', key)
      end
    end
  elseif (redis.call('GET', p .. ':epoch') or '') == ARGV[3] then
    return {}
  end
end
local sums = {}
for first = 4, #ARGV, 3 do
  local key = p .. ':used:' .. ARGV[first]
  redis.call('INCRBY', key, ARGV[first + 2])
  sums[#sums + 1] = redis.call('GET', key)
  redis.call('PEXPIREAT', key, ARGV[first + 1])
end
return sums
