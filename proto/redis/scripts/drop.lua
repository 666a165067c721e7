-- drop: take something out of a book (the event types, the tokens).
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, the book's name (".types" ...), key
-- Reply 1; 0: it is not in it
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
-- Allowed when Redis is full: a token must be revocable then too.
if redis.call('HDEL', tag .. string.sub(ARGV[4], 2), ARGV[5]) == 0 then
    return 0
end
redis.call('HINCRBY', tag .. 'regv', ARGV[4], 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
return 1
