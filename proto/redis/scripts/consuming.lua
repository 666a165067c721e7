-- consuming: what the scripts about named consumers begin with; no script by itself.
--
-- Behind place.lua.
--
-- A consumer is a place in its account's feed, and what it has out: handed out at or before that
-- place and not acknowledged.
--   <tag>cons:<account>        set of names
--   <tag>con:<account>:<name>  hash: pos, the place; passed, how many entries of the feed as it
--       is kept lie at or before it; skipped, how many were trimmed before they were
--       acknowledged; created (ms); low, nothing that is out is older ('': nothing is out).
--       trim.lua moves a place that is trimmed, and counts what was not handed out by then
--   <tag>out:<account>:<name>  sorted set of members "<entry> <event's id> <type>" by when each
--       may be handed out again (ms); the entry's id has zeros in front, so that text sorts as
--       ids do
--   <tag>outi:<account>:<name> hash: event's id -> its member there; several, with commas, where
--       an id is in the feed more than once
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, account, the consumer's name
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local inst_epoch = redis.call('HGET', KEYS[1], me)
if not inst_epoch or tonumber(inst_epoch) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local account, name = ARGV[4], ARGV[5]
local feed, names = tag .. 'led:' .. account, tag .. 'cons:' .. account
-- One call reads about so many bytes, and looks at so many events of the feed.
local BYTES, LOOKS = 2097152, 1000
local FIRST_STEP, LAST_STEP = 8, 128 -- events of one read

local function entry_of(member)
    return string.sub(member, 1, 41)
end

local function id_of(member)
    local ms, seq = string.match(member, '^0*(%d+)-0*(%d+)')
    return ms .. '-' .. seq
end

local function event_of(member)
    return string.match(member, '^[^ ]* ([^ ]*)')
end

local function type_of(member)
    return string.match(member, '^[^ ]* [^ ]* (.*)')
end

local function text(n)
    return string.format('%.0f', n)
end

local trimmed_id = redis.call('HGET', tag .. 'trimmed', account) or '0-0'
local trimmed = padded(trimmed_id)

-- ---- the feed ----

local function newest()
    local entry = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1]
    return entry and padded(entry[1]) or ''
end

-- Are events behind it gone, or was it never of this feed?
local function is_expired(place)
    return padded(place) < trimmed or
        (padded(place) > newest() and is_behind(place, last_generated(feed)))
end

-- Calls each(id, record) for the entries behind a place until it says false, by pieces that fit
-- their size; the first has n_first at most.  Returns whether the feed's end was reached; a call's
-- bounds may come first.
local function walk(place, n_first, each)
    local n, n_bytes, step = 0, 0, math.min(n_first, FIRST_STEP)
    while n < LOOKS and n_bytes < BYTES do
        step = math.min(step, LOOKS - n)
        local entries = redis.call('XRANGE', feed, '(' .. place, '+', 'COUNT', step)
        for _, entry in ipairs(entries) do
            local record = entry[2][2] -- r, record, d, deliveries, p, traceparent
            n, n_bytes, place = n + 1, n_bytes + #record, entry[1]
            if not each(place, record) then
                return false
            end
        end
        if #entries < step then
            return true
        end
        local fitting = math.floor((BYTES - n_bytes) * n / math.max(n_bytes, 1))
        step = math.max(1, math.min(step * 2, LAST_STEP, fitting))
    end
    return false
end

-- ---- a consumer ----

local function find(named)
    local of = account .. ':' .. named
    local c = { con = tag .. 'con:' .. of, out = tag .. 'out:' .. of, ids = tag .. 'outi:' .. of }
    local f = redis.call('HMGET', c.con, 'pos', 'passed', 'skipped', 'created', 'low')
    if f[1] then
        c.pos, c.passed, c.skipped = f[1], tonumber(f[2]), tonumber(f[3])
        c.created, c.low = f[4], f[5]
    end
    return c
end

local function save(c)
    redis.call('HSET', c.con, 'pos', c.pos, 'passed', text(c.passed), 'skipped',
        text(c.skipped), 'created', c.created, 'low', c.low)
end

-- What is out and was trimmed since is skipped, and has to be taken out by who counts it.
local function count_gone(c)
    local gone, low = {}, ''
    if c.low == '' or c.low > trimmed then
        return gone
    end
    for _, member in ipairs(redis.call('ZRANGE', c.out, 0, -1)) do
        local entry = entry_of(member)
        if entry <= trimmed then
            gone[#gone + 1] = member
        elseif low == '' or entry < low then
            low = entry
        end
    end
    c.low, c.skipped = low, c.skipped + #gone
    return gone
end

local function without(list, member)
    local left = {}
    for one in string.gmatch(list, '[^,]+') do
        if one ~= member then
            left[#left + 1] = one
        end
    end
    return table.concat(left, ',')
end

-- Its first call is of a kind that a full Redis allows.
local function take_out(c, members)
    if #members == 0 then
        return
    elseif #members == redis.call('ZCARD', c.out) then
        redis.call('DEL', c.out, c.ids)
        return
    end
    local events, left = {}, {}
    for i, member in ipairs(members) do
        events[i] = event_of(member)
    end
    redis.call('ZREM', c.out, unpack(members))
    local listed = redis.call('HMGET', c.ids, unpack(events))
    redis.call('HDEL', c.ids, unpack(events))
    for i, event in ipairs(events) do
        left[event] = without(left[event] or listed[i] or '', members[i])
    end
    for event, list in pairs(left) do
        if list ~= '' then
            redis.call('HSET', c.ids, event, list)
        end
    end
end

-- In a full Redis too.  Returns how many are gone.
local function settle_gone(c)
    local low = c.low
    local gone = count_gone(c)
    if c.low ~= low then
        redis.call('HDEL', c.con, '-')
        save(c)
        take_out(c, gone)
    end
    return #gone
end

-- ---- a page of events ----

-- ARGV[from]: '1' or '0', is every type but these to be seen; how many types follow; they; how
-- many events.  Returns the page, and where the arguments go on.
local function begin_page(from)
    local at = from + 2 + tonumber(ARGV[from + 1])
    local page = { n = 0, n_bytes = 0, n_max = tonumber(ARGV[at]), reply = { 'OK', 0 } }
    page.otherwise, page.named = ARGV[from] == '1', {}
    for i = from + 2, at - 1 do
        page.named[ARGV[i]] = true
    end
    return page, at + 1
end

local function may_see(page, type)
    return page.otherwise ~= (page.named[type] == true)
end

-- false: the page is full, and there is more.
local function show(page, id, record)
    if page.n == page.n_max or (page.n > 0 and page.n_bytes + #record > BYTES) then
        page.reply[2] = 1
        return false
    end
    page.n, page.n_bytes = page.n + 1, page.n_bytes + #record
    page.reply[#page.reply + 1] = id
    page.reply[#page.reply + 1] = record
    return true
end

-- Those of members that are to be seen and have room; returns the ones shown.
local function show_out(page, members)
    local shown = {}
    for _, member in ipairs(members) do
        if entry_of(member) > trimmed and may_see(page, type_of(member)) then
            local id = id_of(member)
            local entry = redis.call('XRANGE', feed, id, id)[1]
            if entry and not show(page, id, entry[2][2]) then
                break
            end
            shown[#shown + 1] = entry and member
        end
    end
    return shown
end

