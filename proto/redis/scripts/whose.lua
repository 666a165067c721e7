-- whose: the account of a webhook, by its id or by its number; changes nothing.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, the webhook's id or '', its number or ''
-- Reply the account; '': nobody's
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local w = ARGV[5]
if ARGV[4] ~= '' then
    w = redis.call('HGET', tag .. 'whid', ARGV[4])
end
return w and redis.call('HGET', tag .. 'wh:' .. w, 'a') or ''
