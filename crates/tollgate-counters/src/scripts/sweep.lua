-- Gives back what calls of gateways that are gone hold and cannot have used. What they may have used stays reserved until their journals
-- are entered, or for so long that nobody will.
-- KEYS[1] the prefix; ARGV: the time, when the patience ends for those last seen before it (both milliseconds since 1970), the words that
-- identities of what is only held begin with.
local p, now, patience, held_only = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
-- What ends now is not missed.
redis.call('ZREMRANGEBYSCORE', p .. ':ends', '-inf', ARGV[1])
local swept = 0
for _, node in ipairs(redis.call('HKEYS', p .. ':nodes')) do
  local seen = redis.call('HGET', p .. ':nodes', node)
  local keeps_books = string.sub(seen, 1, 1) == 'b'
  local is_alive = redis.call('EXISTS', p .. ':alive:' .. node) == 1
  if not is_alive then
    local is_lost = not keeps_books or tonumber(string.sub(seen, 2)) < patience
    local holds = redis.call('HGETALL', p .. ':holds:' .. node)
    for place = 1, #holds, 2 do
      local kept = {}
      for _, one in ipairs(cjson.decode(holds[place + 1])) do
        if is_lost or string.sub(one[1], 1, #held_only) == held_only then
          redis.call('DECRBY', p .. ':reserved:' .. one[2], one[3])
          swept = swept + 1
        else
          kept[#kept + 1] = one
        end
      end
      if #kept > 0 then
        redis.call('HSET', p .. ':holds:' .. node, holds[place], cjson.encode(kept))
      else
        redis.call('HDEL', p .. ':holds:' .. node, holds[place])
      end
    end
    if is_lost then
      redis.call('HDEL', p .. ':nodes', node)
    end
  end
end
return swept
