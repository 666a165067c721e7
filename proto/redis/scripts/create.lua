-- create: a new webhook, at most so many an account; no event accepted after this misses it, and
-- a backfill of it ends here.
--
-- Behind filling.lua.
--
-- ARGV  from 4 on: at most so many, account, webhook's id, stored form, idempotency key or '',
--       what is to be kept under it for 24 h, where a backfill begins ('start', or the place
--       behind an entry of that id) or ''
-- Reply {'DONE', its number, number of the backfill's job or 0, from, until}
--       {'LIMIT'}: the account is full
--       {'KEPT', what is kept under that key already}
--       {'EXPIRED', the place of the feed from which nothing is missing}
local account, id, from = ARGV[5], ARGV[6], ARGV[10]
local once = ARGV[8] ~= '' and tag .. 'once:' .. ARGV[8]
local kept = once and redis.call('GET', once)
if kept then
    return { 'KEPT', kept }
end
if redis.call('ZCARD', tag .. 'acct:' .. account) >= tonumber(ARGV[4]) then
    return { 'LIMIT' }
end
local range = from ~= '' and range_of(account, from, '')
if range and range.is_expired then
    return { 'EXPIRED', range.trimmed }
end
local w = redis.call('HINCRBY', tag .. 'seq', '_w', 1)
redis.call('HSET', tag .. 'wh:' .. w, 'v', ARGV[7], 'st', 'active', 'cf', '0',
    'a', account, 'i', id)
redis.call('HSET', tag .. 'whid', id, w)
redis.call('ZADD', tag .. 'acct:' .. account, w, w)
redis.call('HINCRBY', tag .. 'regv', account, 1)
redis.call('HINCRBY', tag .. 'regv', '*', 1)
if once then
    redis.call('SET', once, ARGV[9], 'PX', 86400000)
end
if not range then
    return { 'DONE', w, 0, '0-0', '0-0' }
end
return { 'DONE', w, begin_job(account, w, range), range.from, range.till }
