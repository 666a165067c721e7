-- fill: the next piece of a job: events of the feed are queued to its webhook, behind what comes
-- live; the job is further by that, in the same step, so whoever else is at it does no harm.
--
-- Each gets its record in a key of its own: the feed may be trimmed before its turn comes.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, w, the job's number, the job as it is known, up to where this piece goes,
--       now (us), ids of the events ...
-- Reply {'DONE', queued since the job began, 1: it is done, how many wait behind what is live}
--       {'MOVED', the job as it is now or '': there is none any more}
--       {'NOT_FOUND'}: the webhook is deleted, and so is the job
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local w, reached, now = ARGV[4], ARGV[7], tonumber(ARGV[8])
local key, fill = w .. ':' .. ARGV[5], tag .. 'fill:' .. w

local job = redis.call('HGET', tag .. 'jobs', key)
if job ~= ARGV[6] then
    return { 'MOVED', job or '' }
end
local status = redis.call('HGET', tag .. 'wh:' .. w, 'st')
if not status or status == 'deleted' then
    redis.call('HDEL', tag .. 'jobs', key)
    return { 'NOT_FOUND' }
end
local account, _, till, count = string.match(job, '^(%S+) (%S+) (%S+) (%d+)$')

local entries = {}
for i = 9, #ARGV do
    entries[#entries + 1] = redis.call('XRANGE', tag .. 'led:' .. account, ARGV[i], ARGV[i])[1]
end

-- The first write is of a kind that a full Redis refuses: then nothing has happened.
count = string.format('%.0f', tonumber(count) + #entries)
redis.call('HSET', tag .. 'jobs', key, table.concat({ account, reached, till, count }, ' '))
if #entries > 0 then
    local seq = redis.call('HMGET', tag .. 'seq', '_t', w)
    local stamp = string.format('%.0f', math.max(now, (tonumber(seq[1]) or 0) + 1))
    local last = tonumber(seq[2]) or 0
    for i, entry in ipairs(entries) do
        local n = string.format('%.0f', last + i)
        local f = entry[2] -- r, record, d, deliveries, p, traceparent
        redis.call('SET', tag .. 'body:' .. w .. ':' .. n, f[6] and f[6] .. '\n' .. f[2] or f[2])
        redis.call('XADD', fill, n .. '-0', 'c', entry[1], 's', stamp, 'a', account)
    end
    redis.call('HSET', tag .. 'seq', '_t', stamp, w, string.format('%.0f', last + #entries))
    redis.call('SADD', tag .. 'waiting', w)
end
local is_done = reached == till
if is_done then
    redis.call('HDEL', tag .. 'jobs', key)
end
return { 'DONE', count, is_done and 1 or 0, redis.call('XLEN', fill) }
