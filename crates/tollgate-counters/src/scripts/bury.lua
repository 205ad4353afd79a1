-- Forgets a gateway that is gone, and gives back all that its calls still hold.
-- KEYS[1] the prefix; ARGV: node.
local p, node = KEYS[1], ARGV[1]
local holds = redis.call('HGETALL', p .. ':holds:' .. node)
for place = 1, #holds, 2 do
  for _, one in ipairs(cjson.decode(holds[place + 1])) do
    redis.call('DECRBY', p .. ':reserved:' .. one[2], one[3])
  end
end
redis.call('DEL', p .. ':holds:' .. node)
redis.call('DEL', p .. ':alive:' .. node)
redis.call('HDEL', p .. ':nodes', node)
return #holds / 2
