-- create: a new webhook, at most so many an account; no event accepted after this misses it.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, at most so many, account, webhook's id, stored form,
--       idempotency key or '', what is to be kept under it for 24 h
-- Reply its number; -1: the account is full; a text: what is kept under that key already
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local account, id = ARGV[5], ARGV[6]
local once = ARGV[8] ~= '' and tag .. 'once:' .. ARGV[8]
local kept = once and redis.call('GET', once)
if kept then
    return kept
end
if redis.call('ZCARD', tag .. 'acct:' .. account) >= tonumber(ARGV[4]) then
    return -1
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
return w
