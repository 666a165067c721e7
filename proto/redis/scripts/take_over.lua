-- take_over: an instance is dead: fence it; what it held waits to be adopted.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, the dead one's id, its beat as we saw it last
-- Reply 1: done by us; 0: it lives, or somebody was faster
local tag, me, epoch, dead = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local inst = KEYS[1]
local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
if redis.call('HGET', tag .. 'beat', dead) ~= ARGV[5] then
    return 0
end
redis.call('HDEL', inst, dead)
redis.call('HDEL', tag .. 'beat', dead)
redis.call('HDEL', tag .. 'process', dead)
if redis.call('EXISTS', tag .. 'own:' .. dead) == 1 then
    redis.call('HSET', tag .. 'orphans', dead, 'crash')
end
return 1
