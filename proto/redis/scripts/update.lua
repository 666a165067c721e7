-- update: a webhook changed, where nobody has changed it since it was read; no event accepted
-- after this is matched with what it was, and a backfill of it ends here.
--
-- Behind filling.lua.
--
-- ARGV  from 4 on: account, w, revision it was read with, stored form, status before, status now,
--       where a backfill begins ('start', 'disabled': where it was disabled, or the place behind an
--       entry of that id) or ''
-- Reply {'DONE', number of the backfill's job or 0, from, until}
--       {'NOT_FOUND'}: there is no such webhook (any more)
--       {'STALE'}: it is another by now
--       {'EXPIRED', the place of the feed from which nothing is missing}
local account, w = ARGV[4], ARGV[5]
local key, before, now, from = tag .. 'wh:' .. w, ARGV[8], ARGV[9], ARGV[10]
local f = redis.call('HMGET', key, 'st', 'a', 'rv', 'dc')
if not f[1] or f[1] == 'deleted' or f[2] ~= account then
    return { 'NOT_FOUND' }
end
if f[1] ~= before or (f[3] or '0') ~= ARGV[6] then
    return { 'STALE' }
end
if from == 'disabled' then
    from = f[4] or 'start'
end
local range = from ~= '' and range_of(account, from, '')
if range and range.is_expired then
    return { 'EXPIRED', range.trimmed }
end
redis.call('HSET', key, 'v', ARGV[7], 'st', now)
redis.call('HINCRBY', key, 'rv', 1)
if now == 'active' and before == 'disabled' then
    redis.call('HSET', key, 'cf', '0')
    redis.call('HDEL', key, 'da', 'dr', 'dc')
end
redis.call('HINCRBY', tag .. 'regv', account, 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
if not range then
    return { 'DONE', 0, '0-0', '0-0' }
end
return { 'DONE', begin_job(account, w, range), range.from, range.till }
