-- feed: the events of an account behind a place, in the order of their acceptance.
--
-- Behind place.lua.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, account, the place (an entry's id) or '' for the oldest that is kept,
--       at most so many events, so many bytes, '1' for their heads only
-- Reply {'OK', 1 if there are others behind the last one, the last one's id (without any: where
--       the read began), then for each: id, record, bytes of the whole record}
--       {'EXPIRED', the place from which nothing is missing}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local feed, from = tag .. 'led:' .. ARGV[4], ARGV[5]
local limit, max_bytes, is_heads = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local FIRST_STEP, GROWTH = 4, 4

local function head(record)
    local data = string.find(record, ',"data":', 1, true)
    return data and string.sub(record, 1, data - 1) .. ',"data":null}' or record
end

local trimmed = redis.call('HGET', tag .. 'trimmed', ARGV[4]) or '0-0'
if from ~= '' and is_behind(trimmed, from) then
    return { 'EXPIRED', trimmed }
end

-- By small pieces: what lies there may be large.  The first begins with the place itself, so
-- that most places need no further proof that they are of this feed.
local reached, n, n_bytes, has_more = from ~= '' and from or trimmed, 0, 0, false
local reply, is_of_feed = { 'OK', 0, reached }, from == ''
local start, step = from ~= '' and from or '-', FIRST_STEP
repeat
    local count = math.min(step, limit - n + 1)
    local entries = redis.call('XRANGE', feed, start, '+', 'COUNT', count)
    for _, entry in ipairs(entries) do
        local id, record = entry[1], entry[2][2] -- r, record, d, deliveries, p, traceparent
        is_of_feed = true
        if id ~= from then
            has_more = n == limit or (n > 0 and n_bytes + #record > max_bytes)
            if has_more then
                break
            end
            n, n_bytes, reached = n + 1, n_bytes + #record, id
            reply[3 * n + 1] = id
            reply[3 * n + 2] = is_heads and head(record) or record
            reply[3 * n + 3] = #record
        end
    end
    start = '(' .. reached
    local fitting = math.ceil((max_bytes - n_bytes) * n / math.max(n_bytes, 1))
    step = math.max(1, math.min(step * GROWTH, fitting))
until has_more or #entries < count

if not is_of_feed and is_behind(from, last_generated(feed)) then
    return { 'EXPIRED', trimmed }
end
reply[2] = has_more and 1 or 0
reply[3] = reached
return reply
