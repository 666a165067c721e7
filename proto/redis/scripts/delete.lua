-- delete: a webhook becomes a tombstone; what waits for it is settled as dead by whoever
-- takes it.  One that never had a delivery leaves nothing behind: tombstones are read with their
-- account, and webhooks may come and go in it all day.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, account, w, now (ms)
-- Reply 1; 0: there is no such webhook (any more)
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local account, w, now = ARGV[4], ARGV[5], ARGV[6]
-- Allowed when Redis is full: deleting makes room.
if redis.call('ZREM', tag .. 'acct:' .. account, w) == 0 then
    return 0
end
if redis.call('HEXISTS', tag .. 'seq', w) == 1 then
    redis.call('ZADD', tag .. 'acctd:' .. account, w, w)
    redis.call('ZADD', tag .. 'tombs', now, w)
    redis.call('HSET', tag .. 'wh:' .. w, 'st', 'deleted')
else
    redis.call('HDEL', tag .. 'whid', redis.call('HGET', tag .. 'wh:' .. w, 'i') or '')
    redis.call('HDEL', tag .. 'hold', w)
    redis.call('DEL', tag .. 'wh:' .. w)
end
redis.call('HINCRBY', tag .. 'regv', account, 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
return 1
