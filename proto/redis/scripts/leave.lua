-- leave: this instance goes in order; what it still holds can be adopted at once.
--
-- KEYS  <tag>inst, the ingress stream
-- ARGV  tag, id, epoch, group, consumer
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local inst, events = KEYS[1], KEYS[2]
local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
redis.call('HDEL', inst, me)
redis.call('HDEL', tag .. 'beat', me)
redis.call('HDEL', tag .. 'process', me)
if redis.call('EXISTS', tag .. 'own:' .. me) == 1 then
    redis.call('HSET', tag .. 'orphans', me, 'released')
end
local pending = redis.pcall('XPENDING', events, ARGV[4], '-', '+', 1, ARGV[5])
if not pending.err and #pending == 0 then
    redis.pcall('XGROUP', 'DELCONSUMER', events, ARGV[4], ARGV[5])
end
return 1
