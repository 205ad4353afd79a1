-- Takes what a call asks of every allowance, or nothing of any.
-- KEYS[1] the prefix; ARGV: node, hold, then for each: identity, subject's key, key of what was used, amount, most ('' where nobody is
-- refused).
-- Gives {'taken', epoch, used, reserved, ...}, {'short', place, used, reserved} or {'unknown', place}.
local p, node, hold = KEYS[1], ARGV[1], ARGV[2]
local told, held = {'taken', redis.call('GET', p .. ':epoch') or ''}, {}
for first = 3, #ARGV, 5 do
  local identity, base, spent, amount, most = unpack(ARGV, first, first + 4)
  local place = (first - 3) / 5
  if redis.call('EXISTS', p .. ':known:' .. identity) == 0 then
    return {'unknown', place}
  end
  local used = redis.call('GET', p .. ':used:' .. spent) or '0'
  local reserved = redis.call('GET', p .. ':reserved:' .. base) or '0'
  if most ~= '' and tonumber(used) + tonumber(reserved) + tonumber(amount) > tonumber(most) then
    return {'short', place, used, reserved}
  end
  told[#told + 1] = used
  told[#told + 1] = reserved
  held[#held + 1] = {identity, base, amount}
end
for _, one in ipairs(held) do
  redis.call('INCRBY', p .. ':reserved:' .. one[2], one[3])
end
redis.call('HSET', p .. ':holds:' .. node, hold, cjson.encode(held))
return told
