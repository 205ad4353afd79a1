-- Gives back what a call holds, and adds what it used.
-- KEYS[1] the prefix; ARGV: node, hold ('' where it holds nothing), the epoch that it was taken in, then for each allowance of which
-- something was used: its key, when that may be forgotten (milliseconds since 1970), the amount, and where all that was used is found (what
-- the keys of all parts of the time begin with, the first part's beginning, from one to the next, how many), the allowance's identity, and
-- when the call ended (milliseconds since 1970).
-- The key is that of the time in which the call began. Gives what was used of each with that; nothing where it was settled before; {'unknown'} where somebody has to begin first with what the
-- books say.
-- An empty epoch is of one who does not know whether it was taken. A hold is settled once, however often it is said. Where it is gone with the
-- epoch, nothing was given back for it, and what it used counts, unless it had ended when the books were read that the counts begin with.
local p, node, hold = KEYS[1], ARGV[1], ARGV[2]
for at = 4, #ARGV, 9 do
  local key, identity = p .. ':used:' .. ARGV[at], ARGV[at + 7]
  -- A count that should be there and is not was lost, as `take` says.
  if redis.call('EXISTS', key) == 0 and redis.call('ZREM', p .. ':ends', key) == 1 then
    redis.call('DEL', p .. ':known:' .. identity, p .. ':epoch')
    redis.call('SET', p .. ':lost:' .. identity, '', 'PX', 60000)
  end
  if redis.call('EXISTS', p .. ':lost:' .. identity) == 1 then
    return {'unknown'}
  end
end
local is_late = false
if hold ~= '' then
  local held = redis.call('HGET', p .. ':holds:' .. node, hold)
  if held then
    redis.call('HDEL', p .. ':holds:' .. node, hold)
    if ARGV[3] == '' then
      redis.call('SET', p .. ':gone:' .. hold, '', 'PX', 600000)
    end
    for _, one in ipairs(cjson.decode(held)) do
      local key = p .. ':reserved:' .. one[2]
      redis.call('DECRBY', key, one[3])
      if redis.call('GET', key) == '0' then
        redis.call('DEL', key)
      end
    end
  elseif ARGV[3] ~= '' and (redis.call('GET', p .. ':epoch') or '') == ARGV[3] then
    return {}
  else
    for at = 4, #ARGV, 9 do
      if redis.call('EXISTS', p .. ':known:' .. ARGV[at + 7]) == 0 then
        return {'unknown'}
      end
    end
    -- What was asked may come after this, on another connection, and must not be taken then; nor is this to be done twice.
    if redis.call('SET', p .. ':gone:' .. hold, '', 'NX', 'PX', 600000) == false then
      return {}
    end
    is_late = true
  end
end
local sums = {}
for at = 4, #ARGV, 9 do
  local key, until_ms, amount, stem, first, step, count, identity, ended = unpack(ARGV, at, at + 8)
  if is_late and tonumber(ended) < tonumber(redis.call('GET', p .. ':known:' .. identity)) then
    amount = '0'
  end
  key = p .. ':used:' .. key
  redis.call('INCRBY', key, amount)
  redis.call('PEXPIREAT', key, until_ms)
  local sum = redis.call('GET', key)
  -- What is over for long is gone at once, and nobody misses it.
  if sum then
    redis.call('ZADD', p .. ':ends', until_ms, key)
  end
  if count == '1' then
    sums[#sums + 1] = sum or '0'
  else
    local keys, used = {}, 0
    for part = 0, tonumber(count) - 1 do
      keys[#keys + 1] = p .. ':used:' .. stem .. '|' .. string.format('%.0f', tonumber(first) + part * tonumber(step))
    end
    for _, part in ipairs(redis.call('MGET', unpack(keys))) do
      used = used + (tonumber(part) or 0)
    end
    sums[#sums + 1] = string.format('%.0f', used)
  end
end
return sums
