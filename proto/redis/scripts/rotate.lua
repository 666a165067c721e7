-- rotate: producers' ids are remembered in two generations; a full or old one becomes the older.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, full at, now (ms)
-- Reply 1: rotated
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local n = redis.call('HLEN', tag .. 'dd:1')
local began = tonumber(redis.call('HGET', tag .. 'seq', '_d') or ARGV[5])
if n == 0 or (n < tonumber(ARGV[4]) and began > tonumber(ARGV[5]) - 86400000) then
    return 0
end
redis.call('HDEL', tag .. 'seq', '_d')
redis.call('UNLINK', tag .. 'dd:0')
redis.call('RENAME', tag .. 'dd:1', tag .. 'dd:0')
return 1
