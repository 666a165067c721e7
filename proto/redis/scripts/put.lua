-- put: write into a book (the event types, the tokens).
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, the book's name (".types" ...), key, stored form
-- Reply 1
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
redis.call('HSET', tag .. string.sub(ARGV[4], 2), ARGV[5], ARGV[6])
redis.call('HINCRBY', tag .. 'regv', ARGV[4], 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
return 1
