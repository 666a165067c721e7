-- mark: set a durable mark before handling something that may be what crashes us.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, "e:<entry id>" or "d:<w>:<n>"
-- Reply how many marks it had before
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
return redis.call('HINCRBY', tag .. 'marks', ARGV[4], 1) - 1
