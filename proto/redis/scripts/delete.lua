-- delete: a webhook becomes a tombstone; what waits for it is settled as dead by whoever
-- takes it.
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
redis.call('ZADD', tag .. 'acctd:' .. account, w, w)
redis.call('ZADD', tag .. 'tombs', now, w)
redis.call('HSET', tag .. 'wh:' .. w, 'st', 'deleted')
redis.call('HINCRBY', tag .. 'regv', account, 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
return 1
