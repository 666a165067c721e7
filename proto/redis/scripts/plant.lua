-- plant: a delivery of a record that is in no feed; ours at once, or, while its webhook is
-- paused or where we have no room for it, waiting with the others.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, w, account, now (us), record, '1': there is no room
-- Reply {result, n, stamp, length of wait or -1: it is ours}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local w, account, now, record = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local status = redis.call('HGET', tag .. 'wh:' .. w, 'st')
if status ~= 'active' and status ~= 'paused' then
    return { 'NOT_LIVE', '0', '0', -1 }
end

local seq = redis.call('HMGET', tag .. 'seq', '_t', w)
local stamp = string.format('%.0f', math.max(now, (tonumber(seq[1]) or 0) + 1))
local n = string.format('%.0f', (tonumber(seq[2]) or 0) + 1)
-- The first write is of a kind that a full Redis refuses: then nothing has happened.
redis.call('HSET', tag .. 'seq', '_t', stamp, w, n)
redis.call('SET', tag .. 'body:' .. w .. ':' .. n, record)
if status == 'active' and ARGV[8] ~= '1' then
    redis.call('HSET', tag .. 'own:' .. me, w .. ':' .. n, '0:0:' .. stamp .. ':0-0:' .. account)
    return { 'DONE', n, stamp, -1 }
end
redis.call('XADD', tag .. 'wait:' .. w, n .. '-0', 'c', '0-0', 's', stamp, 'a', account)
redis.call('SADD', tag .. 'waiting', w)
return { 'DONE', n, stamp, redis.call('XLEN', tag .. 'wait:' .. w) }
