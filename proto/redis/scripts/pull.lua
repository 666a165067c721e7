-- pull: events for a named consumer, which is made where there is none: those that are out and
-- were not acknowledged in time, the longest overdue first, then new ones.
--
-- Behind consuming.lua.
--
-- ARGV  from 6 on: what may be seen and how many events (begin_page), for how long (ms), out at
--       most, consumers at most, the place where a new one begins ('': the oldest that is kept),
--       '', '' or what AGAIN said
-- Reply {'OK', 1 if there is more, then for each event: id, record}
--       {'AGAIN', place, count}  nothing was done yet: ask again with these
--       {'LIMIT'}, {'EXPIRED', the place from which nothing is missing}
local page, at = begin_page(6)
local visible_ms, n_out_max, n_consumers_max = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
local from, walked_to, n_walked = ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5]) or 0
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- How many lie behind the place where it begins?  Those before it are the others, whatever is
-- trimmed or comes meanwhile.
local function begin_at(c, place)
    local place_walked = walked_to ~= '' and walked_to or place
    local is_end = walk(place_walked, FIRST_STEP, function(id)
        place_walked, n_walked = id, n_walked + 1
        return true
    end)
    if not is_end then
        return { 'AGAIN', place_walked, n_walked }
    end
    c.pos, c.passed = place, redis.call('XLEN', feed) - n_walked
end

-- Why not (or not yet); nil: it may go on, and c is as it will be saved.
local function begin(c)
    if redis.call('SCARD', names) >= tonumber(n_consumers_max) then
        return { 'LIMIT' }
    end
    c.pos, c.passed, c.skipped, c.created, c.low = trimmed_id, 0, 0, text(now), ''
    if from ~= '' and is_expired(from) then
        return { 'EXPIRED', trimmed_id }
    end
    return from ~= '' and begin_at(c, from)
end

-- The consumer's place moves over them, and over what is not to be seen.
local function show_new(c, room)
    local shown, n_left = {}, page.n_max - page.n
    local is_end = walk(c.pos, n_left + 1, function(id, record)
        if #shown == room or page.n == page.n_max then
            return false
        end
        local event, type = string.match(record, '^{"id":"([^"]*)","type":"([^"]*)"')
        if may_see(page, type) then
            if not show(page, id, record) then
                return false
            end
            shown[#shown + 1] = padded(id) .. ' ' .. event .. ' ' .. type
        end
        c.pos, c.passed = id, c.passed + 1
        return true
    end)
    -- There is more to look at, though it may be for others.
    if not is_end and #shown < room then
        page.reply[2] = 1
    end
    return shown
end

local function list_ids(c, members)
    local events, lists, words = {}, {}, {}
    for i, member in ipairs(members) do
        events[i] = event_of(member)
    end
    local listed = redis.call('HMGET', c.ids, unpack(events))
    for i, event in ipairs(events) do
        local list = lists[event] or listed[i]
        lists[event] = list and list .. ',' .. members[i] or members[i]
    end
    for event, list in pairs(lists) do
        words[#words + 1], words[#words + 2] = event, list
    end
    redis.call('HSET', c.ids, unpack(words))
end

local function hand_out(c, members)
    local scored, until_ms = {}, text(now + tonumber(visible_ms))
    for _, member in ipairs(members) do
        scored[#scored + 1], scored[#scored + 2] = until_ms, member
    end
    if #members > 0 then
        redis.call('ZADD', c.out, unpack(scored))
    end
end

local c = find(name)
local is_new = not c.pos
local refused = is_new and begin(c)
if refused then
    return refused
end
local pos, low = c.pos, c.low
local gone = count_gone(c)
local again = show_out(page, redis.call('ZRANGEBYSCORE', c.out, '-inf', text(now)))
local n_out = redis.call('ZCARD', c.out) - #gone
local new = page.reply[2] == 0 and show_new(c, math.max(n_out_max - n_out, 0)) or {}
if #new > 0 and n_out == 0 then
    c.low = entry_of(new[1])
end

-- The first write is of a kind that a full Redis refuses: then nothing has happened.
if is_new or c.pos ~= pos or c.low ~= low then
    save(c)
end
if is_new then
    redis.call('SADD', names, name)
end
take_out(c, gone)
hand_out(c, again)
hand_out(c, new)
if #new > 0 then
    list_ids(c, new)
end
return page.reply
