-- fill_begin: a backfill is asked for.
--
-- Behind filling.lua.
--
-- ARGV  from 4 on: account, w, from ('start', or the place behind an entry of that id), until
--       (the last entry's id) or '': all there is now, at most so many may wait already
-- Reply {'DONE', the job's number or 0: there is nothing to do, from, until}
--       {'EXPIRED', the place from which nothing is missing}
--       {'NOT_FOUND'}, {'DISABLED'}: the webhook, {'FULL'}: it has enough to do
local account, w = ARGV[4], ARGV[5]
local JOBS_MAX = 10 -- of a webhook

local function n_jobs()
    local n, front = 0, w .. ':'
    for _, key in ipairs(redis.call('HKEYS', tag .. 'jobs')) do
        n = n + (string.sub(key, 1, #front) == front and 1 or 0)
    end
    return n
end

local f = redis.call('HMGET', tag .. 'wh:' .. w, 'st', 'a')
if not f[1] or f[1] == 'deleted' or f[2] ~= account then
    return { 'NOT_FOUND' }
elseif f[1] == 'disabled' then
    return { 'DISABLED' }
end
local range = range_of(account, ARGV[6], ARGV[7])
if range.is_expired then
    return { 'EXPIRED', range.trimmed }
elseif redis.call('XLEN', tag .. 'fill:' .. w) >= tonumber(ARGV[8]) or n_jobs() >= JOBS_MAX then
    return { 'FULL' }
end
return { 'DONE', begin_job(account, w, range), range.from, range.till }
