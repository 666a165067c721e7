-- take: deliveries become ours and come back loaded with what an attempt needs.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, at most so many, at most so many bytes of records (one always goes), then
--         'refill', w, fill   the oldest that wait; when none is left, of those of backfills as
--                             many as make `fill` in all
--         'surplus', w, keep  the oldest that wait, but the newest `keep` go on waiting
--         'parked', w         some that are parked, whenever due; none of a live webhook
--         'claim', ms, "w:n" ...  these, where still parked and due by then
--         'adopt', id         some of what a dead instance held
--         'load', "w:n" ...   these, ours already
-- Reply {what is left, what is left of backfills, then for each: w, n, own value, record,
--        traceparent, state, due or '', 1: the record has a key of its own}
-- Left: refill, surplus, adopt: still there; parked: 1 when there may be more; claim, load: how many at
-- the end were not looked at.
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local inst = KEYS[1]
local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local max, room, mode = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local own_key = tag .. 'own:' .. me
local reply, own = { 0, 0 }, {}

local function from_ledger(account, cursor)
    local entries = redis.call('XRANGE', tag .. 'led:' .. account, cursor, cursor)
    if not entries[1] then
        return nil
    end
    local f = entries[1][2]
    return f[2], f[6] or '' -- r, its record; d; p, its traceparent
end

local function from_body(w, n)
    local body = redis.call('GET', tag .. 'body:' .. w .. ':' .. n)
    if not body then
        return nil
    end
    -- One that was moved out of the ledger has its traceparent in a line in front.
    if string.sub(body, 1, 1) ~= '{' then
        local line = string.find(body, '\n', 1, true)
        return string.sub(body, line + 1), string.sub(body, 1, line - 1)
    end
    return body, ''
end

-- Load one; false when there is no room for it in this reply.
local function load(w, n, value, open, due)
    local attempts, cursor, account = string.match(value, '^(%d+):%d+:%d+:([%d-]+):(.*)$')
    open = open or redis.call('HGET', tag .. 'open:' .. w, n)
    local state = ''
    if open then
        state = string.sub(open, string.find(open, '|', 1, true) + 1)
    end
    local record, trace
    if attempts == '0' then
        record, trace = from_ledger(account, cursor)
    end
    if not record then
        record, trace = from_body(w, n)
    end
    if not record and attempts ~= '0' then
        record, trace = from_ledger(account, cursor)
    end
    room = room - #(record or '') - #state
    if room < 0 and #reply > 2 then
        return false
    end
    local at = #reply
    reply[at + 1], reply[at + 2], reply[at + 3] = w, n, value
    reply[at + 4], reply[at + 5] = record or '', trace or ''
    reply[at + 6], reply[at + 7] = state, due or ''
    reply[at + 8] = redis.call('EXISTS', tag .. 'body:' .. w .. ':' .. n)
    own[#own + 1] = w .. ':' .. n
    own[#own + 1] = value
    return true
end

local function split(key)
    local colon = string.find(key, ':', 1, true)
    return string.sub(key, 1, colon - 1), string.sub(key, colon + 1)
end

-- The oldest of a stream of waiting ones; how many are left there, and how many went.
local function take_waiting(stream, w, count)
    local entries = count > 0 and redis.call('XRANGE', stream, '-', '+', 'COUNT', count) or {}
    local ids = {}
    for _, entry in ipairs(entries) do
        local f = entry[2] -- c, cursor, s, stamp, a, account
        local n = string.sub(entry[1], 1, -3)
        if not load(w, n, '0:0:' .. f[4] .. ':' .. f[2] .. ':' .. f[6]) then
            break
        end
        ids[#ids + 1] = entry[1]
    end
    if #ids > 0 then
        redis.call('XDEL', stream, unpack(ids))
    end
    local left = redis.call('XLEN', stream)
    if left == 0 then
        redis.call('DEL', stream)
    end
    return left, #ids
end

local function leave_waiting(w)
    if reply[1] + reply[2] == 0 then
        redis.call('SREM', tag .. 'waiting', w)
    end
end

local function refill(w, most_fill)
    local n_live
    reply[1], n_live = take_waiting(tag .. 'wait:' .. w, w, max)
    local n_fill = reply[1] == 0 and math.min(max, most_fill) - n_live or 0
    reply[2] = take_waiting(tag .. 'fill:' .. w, w, n_fill)
    leave_waiting(w)
end

local function surplus(w, keep)
    local wait = tag .. 'wait:' .. w
    reply[1] = take_waiting(wait, w, math.min(max, redis.call('XLEN', wait) - keep))
    reply[2] = redis.call('XLEN', tag .. 'fill:' .. w)
    leave_waiting(w)
end

local function claim_one(w, n, due)
    local open = redis.call('HGET', tag .. 'open:' .. w, n)
    if not open then
        return true, false
    end
    local value = string.sub(open, 1, string.find(open, '|', 1, true) - 1)
    return load(w, n, value, open, due), true
end

local function claim(keys, due_by)
    local taken = {}
    local n_seen = 0
    for i, key in ipairs(keys) do
        local due = i <= max and redis.call('ZSCORE', tag .. 'retry', key)
        -- One that was armed for an earlier time than it has by now is not due.
        if due and (not due_by or tonumber(due) <= due_by) then
            local w, n = split(key)
            if not claim_one(w, n, due) then
                break
            end
            taken[#taken + 1] = key
        elseif i > max then
            break
        end
        n_seen = i
    end
    if #taken > 0 then
        redis.call('ZREM', tag .. 'retry', unpack(taken))
    end
    return #keys - n_seen
end

local function parked(w)
    local open, cursor, keys = tag .. 'open:' .. w, '0', {}
    local rounds, seen = 0, {}
    local status = redis.call('HGET', tag .. 'wh:' .. w, 'st')
    if status == 'active' or status == 'paused' then
        return 0 -- made active again meanwhile: they keep their time
    end
    repeat
        local page = redis.call('HSCAN', open, cursor, 'COUNT', max)
        cursor = page[1]
        for i = 1, #page[2], 2 do
            local key = w .. ':' .. page[2][i]
            -- A scan may tell one twice; one that is not scheduled is being attempted.
            if #keys < max and not seen[key] and redis.call('ZSCORE', tag .. 'retry', key) then
                keys[#keys + 1] = key
                seen[key] = true
            end
        end
        rounds = rounds + 1
    until cursor == '0' or #keys >= max or rounds >= 50
    local left = claim(keys)
    return (left > 0 or cursor ~= '0' or #keys >= max) and 1 or 0
end

local function adopt(orphan)
    local from, cursor, keys, seen = tag .. 'own:' .. orphan, '0', {}, {}
    local kind = redis.call('HGET', tag .. 'orphans', orphan)
    if not kind then
        return 0
    end
    repeat
        local page = redis.call('HSCAN', from, cursor, 'COUNT', max)
        cursor = page[1]
        local is_full = false
        for i = 1, #page[2], 2 do
            local key, value = page[2][i], page[2][i + 1]
            local w, n = split(key)
            if kind == 'crash' then
                local attempts, crashes, rest = string.match(value, '^(%d+):(%d+):(.*)$')
                value = attempts .. ':' .. (tonumber(crashes) + 1) .. ':' .. rest
            end
            if not seen[key] then -- a scan may tell one twice
                if #keys >= max or not load(w, n, value) then
                    is_full = true
                    break
                end
                seen[key] = true
                keys[#keys + 1] = key
            end
        end
    until is_full or cursor == '0' or #keys >= max
    if #keys > 0 then
        redis.call('HDEL', from, unpack(keys))
    end
    local left = redis.call('HLEN', from)
    if left == 0 then
        redis.call('HDEL', tag .. 'orphans', orphan)
    end
    return left
end

local function load_ours(keys)
    local values = redis.call('HMGET', own_key, unpack(keys))
    for i = 1, #keys do
        local w, n = split(keys[i])
        if values[i] and not load(w, n, values[i]) then
            return #keys - i + 1
        end
    end
    return 0
end

local keys = {}
for i = 7, #ARGV do
    keys[i - 6] = ARGV[i]
end
if mode == 'refill' then
    refill(ARGV[7], tonumber(ARGV[8]))
elseif mode == 'surplus' then
    surplus(ARGV[7], tonumber(ARGV[8]))
elseif mode == 'parked' then
    reply[1] = parked(ARGV[7])
elseif mode == 'claim' then
    reply[1] = claim({ unpack(keys, 2) }, tonumber(keys[1]))
elseif mode == 'adopt' then
    reply[1] = adopt(ARGV[7])
else
    reply[1] = load_ours(keys)
    return reply
end
if #own > 0 then
    redis.call('HSET', own_key, unpack(own))
end
return reply
