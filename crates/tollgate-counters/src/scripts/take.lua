-- Takes what a call asks of every allowance, or nothing of any.
-- KEYS[1] the prefix; ARGV: node, hold, then for each: identity, subject's key, where what was used is found (what the keys of all parts of
-- the time begin with, the first part's beginning, from one to the next, how many), amount, most ('' where nobody is refused).
-- Gives {'taken', epoch, used, reserved, ...}, {'short', place, used, reserved, and of a rolling time what was used in each of its parts} or
-- {'unknown', place}; nothing is taken by who has given it back.
local p, node, hold = KEYS[1], ARGV[1], ARGV[2]
-- A count that should be there and is not was lost: the server had no room for it, or somebody removed it.
local function is_lost(key)
  return redis.call('ZREM', p .. ':ends', key) == 1
end
local function sum(stem, first, step, count)
  if count == '1' then
    local key = p .. ':used:' .. stem .. '|' .. first
    local used = redis.call('GET', key)
    return used or '0', {}, not used and is_lost(key)
  end
  local keys = {}
  for part = 0, tonumber(count) - 1 do
    keys[#keys + 1] = p .. ':used:' .. stem .. '|' .. string.format('%.0f', tonumber(first) + part * tonumber(step))
  end
  local used, parts, lost = 0, {}, false
  for place, part in ipairs(redis.call('MGET', unpack(keys))) do
    lost = not part and is_lost(keys[place]) or lost
    parts[place] = part or '0'
    used = used + tonumber(parts[place])
  end
  return string.format('%.0f', used), parts, lost
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
  local used, parts, lost = sum(stem, first, step, count)
  if lost then
    -- It begins with the books, as do all that are lost at once.
    redis.call('DEL', p .. ':known:' .. identity, p .. ':epoch')
    redis.call('SET', p .. ':lost:' .. identity, '', 'PX', 60000)
    return {'unknown', place}
  end
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
