-- filling: what the scripts that may begin a backfill begin with; no script by itself.
--
-- Behind place.lua.
--
-- A backfill is a job: what is kept of an account's feed between two places is to be queued to
-- one of its webhooks.  fill.lua does it piece by piece, in no hurry; where it ends is settled
-- when it begins.
--   <tag>jobs      hash "<w>:<job>" -> "<account> <from> <until> <queued so far>": what is left to
--                  do lies behind the one entry, up to and with the other
--   <tag>fill:<w>  stream "<n>-0", as <tag>wait:<w>: what is queued and waits behind what is live
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end

-- From 'start' or the place behind an entry of that id, up to and with `till` ('': all there is
-- now).  is_expired: there are events no longer kept, or none of this feed; nothing is missing
-- from `trimmed` on.
local function range_of(account, from, till)
    local trimmed = redis.call('HGET', tag .. 'trimmed', account) or '0-0'
    local last = last_generated(tag .. 'led:' .. account)
    local range = { trimmed = trimmed, from = from, till = till ~= '' and till or last }
    if from == 'start' then
        range.from = trimmed
    end
    range.is_expired = is_behind(trimmed, range.from) or is_behind(range.till, last)
        or (from ~= 'start' and is_behind(from, last))
    return range
end

-- Its number; 0: there is nothing to do.
local function begin_job(account, w, range)
    if not is_behind(range.till, range.from) then
        return 0
    end
    local job = redis.call('HINCRBY', tag .. 'seq', '_j', 1)
    redis.call('HSET', tag .. 'jobs', w .. ':' .. job,
        table.concat({ account, range.from, range.till, '0' }, ' '))
    return job
end

