-- Takes what a call asks of every allowance, or nothing of any.
-- KEYS[1] the prefix; ARGV: node, hold, then for each: identity, subject's key, where what was used is found (what the keys of all parts of
-- the time begin with, the first part's beginning, from one to the next, how many), amount, most ('' where nobody is refused).
-- Gives {'taken', epoch, used, reserved, ...}, {'short', place, used, reserved, and of a rolling time what was used in each of its parts} or
-- {'unknown', place}; nothing is taken by who has given it back.
local p, node, hold = KEYS[1], ARGV[1], ARGV[2]
local function sum(stem, first, step, count)
  if count == '1' then
    return redis.call('GET', p .. ':used:' .. stem .. '|' .. first) or '0', {}
  end
  local keys = {}
  for part = 0, tonumber(count) - 1 do
    keys[#keys + 1] = p .. ':used:' .. stem .. '|' .. string.format('%.0f', tonumber(first) + part * tonumber(step))
  end
  local used, parts = 0, {}
  for place, part in ipairs(redis.call('MGET', unpack(keys))) do
    parts[place] = part or '0'
    used = used + tonumber(parts[place])
  end
  return string.format('%.0f', used), parts
end
-- Whoever asked has given up, and what was said after it came first.
if redis.call('EXISTS', p .. ':gone:' .. hold) == 1 then
  return {'unknown', 0}
end
local told, held = {'taken', redis.call('GET', p .. ':epoch') or ''}, {}
for at = 3, #ARGV, 8 do
  local identity, base, stem, first, step, count, amount, most = unpack(ARGV, at, at + 7)
  local place = (at - 3) / 8
  if redis.call('EXISTS', p .. ':known:' .. identity) == 0 then
    return {'unknown', place}
  end
  local used, parts = sum(stem, first, step, count)
  local reserved = redis.call('GET', p .. ':reserved:' .. base) or '0'
  if most ~= '' and tonumber(used) + tonumber(reserved) + tonumber(amount) > tonumber(most) then
    return {'short', place, used, reserved, unpack(parts)}
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
