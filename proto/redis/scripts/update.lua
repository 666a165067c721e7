-- update: a webhook changed, where nobody has changed it since it was read; no event accepted
-- after this is matched with what it was.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, account, w, revision it was read with, stored form, status before,
--       status now
-- Reply 1; 0: there is no such webhook (any more); -1: it is another by now
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local account, key = ARGV[4], tag .. 'wh:' .. ARGV[5]
local before, now = ARGV[8], ARGV[9]
local f = redis.call('HMGET', key, 'st', 'a', 'rv')
if not f[1] or f[1] == 'deleted' or f[2] ~= account then
    return 0
end
if f[1] ~= before or (f[3] or '0') ~= ARGV[6] then
    return -1
end
redis.call('HSET', key, 'v', ARGV[7], 'st', now)
redis.call('HINCRBY', key, 'rv', 1)
if now == 'active' and before == 'disabled' then
    redis.call('HSET', key, 'cf', '0')
    redis.call('HDEL', key, 'da', 'dr', 'dc')
end
redis.call('HINCRBY', tag .. 'regv', account, 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
return 1
