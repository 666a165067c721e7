-- reject: an entry that breaks a rule goes to the rejected stream.
--
-- KEYS  <tag>inst, the ingress stream, the rejected stream
-- ARGV  tag, id, epoch, group, entry id, at most so many are kept, fields and values ...
-- Reply 1; 0: it was another's
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local events, rejected = KEYS[2], KEYS[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
-- It leaves first: a kind that a full Redis allows, and it opens the door for the rest.
local was_pending = redis.call('XACK', events, ARGV[4], ARGV[5])
local was_there = redis.call('XDEL', events, ARGV[5])
redis.call('HDEL', tag .. 'marks', 'e:' .. ARGV[5])
if was_pending + was_there == 0 then
    return 0
end
redis.call('XADD', rejected, 'MAXLEN', '~', ARGV[6], '*', unpack(ARGV, 7))
return 1
