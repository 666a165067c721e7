-- replay: deliveries that are to be made again by hand are parked and due; the retries of a
-- webhook that was paused are due soon.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, w, now (ms), due (ms) of the first, gap (ms) to the next, at most so
--       many, then
--         'one', n                    this one, unless somebody has it in hand
--         'dead', n, since, till      dead letters after n, created from since on and before till
--                                     (ms; 0: no bound), the oldest first
--         'overdue', cursor           parked ones whose time has come, whatever time they were
--                                     put off to; cursor of HSCAN, '0' at first
-- Reply {result, where to go on or '', n ... that are due: the first at due, the next a gap later}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local w, now, max, mode = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[8]), ARGV[9]
local first_due, gap = tonumber(ARGV[6]), tonumber(ARGV[7])
-- So many times max are looked at; so much is moved at once, and so much looked at.
local LOOK, BYTES, LOOK_BYTES = 5, 1048576, 4194304

local f = redis.call('HMGET', tag .. 'wh:' .. w, 'st', 'a')
local status, account = f[1], f[2] or ''
local is_live = status == 'active' or status == 'paused'

-- The front of a packed history, laid out as rules/history.c says: version 1.
local VERSION, HAS_LAST, HAS_NEXT, IS_UNCOUNTED, PENDING = 1, 1, 2, 4, 0

local function get(bytes, at)
    local value, weight = 0, 1
    while true do
        local byte = string.byte(bytes, at)
        at = at + 1
        value = value + (byte % 128) * weight
        if byte < 128 then
            return value, at
        end
        weight = weight * 128
    end
end

local function put(value)
    local bytes = {}
    while value >= 128 do
        bytes[#bytes + 1] = string.char(value % 128 + 128)
        value = math.floor(value / 128)
    end
    bytes[#bytes + 1] = string.char(value)
    return table.concat(bytes)
end

-- Small numbers of either sign are stored as 0, -1, 1, -2 ...
local function signed(value)
    return value % 2 == 0 and value / 2 or -(value + 1) / 2
end

local function unsigned(value)
    return value >= 0 and 2 * value or -2 * value - 1
end

local function has(flags, flag)
    return math.floor(flags / flag) % 2 == 1
end

local function read(packed)
    local h, at, from, value, flags = {}, 2, nil, nil, nil
    if string.byte(packed, 1) ~= VERSION then
        return nil
    end
    h.stamp, at = get(packed, at)
    value, at = get(packed, at)
    h.created = math.floor(h.stamp / 1000) + signed(value)
    h.front = string.sub(packed, 1, at - 1)
    flags, at = get(packed, at)
    from = at
    value, at = get(packed, at)
    h.cursor_ms = h.created + signed(value)
    h.cursor_seq, at = get(packed, at)
    h.cursor = string.sub(packed, from, at - 1)
    value, at = get(packed, at) -- status
    h.attempts, at = get(packed, at)
    value, at = get(packed, at) -- schedule_from
    value, at = get(packed, at) -- updated
    from = at
    h.has_last = has(flags, HAS_LAST)
    if h.has_last then
        value, at = get(packed, at)
    end
    h.last = string.sub(packed, from, at - 1)
    if has(flags, HAS_NEXT) then
        value, at = get(packed, at)
        h.next = h.created + signed(value)
    end
    h.rest = string.sub(packed, at)
    return h
end

-- nil: not ours, or cut off.
local function history(packed)
    local is_whole, h = pcall(read, packed)
    return is_whole and h or nil
end

local function cursor_of(h)
    return string.format('%.0f-%.0f', h.cursor_ms, h.cursor_seq)
end

-- As `open` has it: what owns it next, and its state with a schedule of its own from now on.
local function queued_again(h)
    return string.format('%.0f:0:%.0f:', h.attempts, h.stamp) .. cursor_of(h) .. ':' .. account ..
        '|' .. h.front .. put((h.has_last and HAS_LAST or 0) + IS_UNCOUNTED) .. h.cursor ..
        put(PENDING) .. put(h.attempts) .. put(h.attempts) .. put(unsigned(now - h.created)) ..
        h.last .. h.rest
end

-- true: it has a key of its own; a text: what is to be in it; nil: it is kept nowhere.
local function body_of(n, h)
    if redis.call('EXISTS', tag .. 'body:' .. w .. ':' .. n) == 1 then
        return true
    end
    local cursor = cursor_of(h)
    local entry = cursor ~= '0-0'
        and redis.call('XRANGE', tag .. 'led:' .. account, cursor, cursor)[1]
    if not entry then
        return nil
    end
    local e = entry[2] -- r, record, d, deliveries, p, traceparent
    return e[6] and e[6] .. '\n' .. e[2] or e[2]
end

local function due_of(i)
    return string.format('%.0f', first_due + (i - 1) * gap)
end

-- From wherever they are into open and retry.  Nothing was written before; a full Redis refuses
-- the first of these.
local function queue(numbers, items)
    if #numbers == 0 then
        return
    end
    local open, retries, lates = {}, {}, {}
    for i, n in ipairs(numbers) do
        open[2 * i - 1], open[2 * i] = n, queued_again(items[i].h)
        retries[2 * i - 1], retries[2 * i] = due_of(i), w .. ':' .. n
        lates[2 * i - 1], lates[2 * i] = n, n
    end
    redis.call('HSET', tag .. 'open:' .. w, unpack(open))
    for i, n in ipairs(numbers) do
        if items[i].body ~= true then
            redis.call('SET', tag .. 'body:' .. w .. ':' .. n, items[i].body)
        end
    end
    redis.call('ZADD', tag .. 'retry', unpack(retries))
    redis.call('ZADD', tag .. 'lates:' .. w, unpack(lates))
    redis.call('HDEL', tag .. 'hist:' .. w, unpack(numbers))
    redis.call('HDEL', tag .. 'late:' .. w, unpack(numbers))
    redis.call('ZREM', tag .. 'dead:' .. w, unpack(numbers))
end

local function reply(result, following, numbers)
    local list = { result, following or '' }
    for i, n in ipairs(numbers or {}) do
        list[i + 2] = n
    end
    return list
end

-- Does somebody who lives have it?  nil: nobody has it, not even one who is dead.
local function has_holder(key)
    for _, holder in ipairs(redis.call('HKEYS', KEYS[1])) do
        if redis.call('HEXISTS', tag .. 'own:' .. holder, key) == 1 then
            return true
        end
    end
    for _, orphan in ipairs(redis.call('HKEYS', tag .. 'orphans')) do
        if redis.call('HEXISTS', tag .. 'own:' .. orphan, key) == 1 then
            return false
        end
    end
    return nil
end

local function waits(n)
    for _, queue in ipairs({ 'wait:', 'fill:' }) do
        if #redis.call('XRANGE', tag .. queue .. w, n .. '-0', n .. '-0') > 0 then
            return true
        end
    end
    return false
end

-- One that is neither finished nor parked.
local function one_in_hand(n, key)
    local holder = has_holder(key)
    if holder == nil and not waits(n) then
        return reply('NOT_FOUND')
    elseif not is_live then
        return reply('NOT_LIVE')
    end
    -- What is held for a paused webhook has not begun.
    return reply(holder and status == 'active' and 'DELIVERING' or 'WAITING')
end

local function one(n)
    local key = w .. ':' .. n
    local packed = redis.call('HGET', tag .. 'hist:' .. w, n)
        or redis.call('HGET', tag .. 'late:' .. w, n)
    if not packed and redis.call('ZSCORE', tag .. 'retry', key) then
        local open = redis.call('HGET', tag .. 'open:' .. w, n)
        packed = open and string.sub(open, string.find(open, '|', 1, true) + 1)
    end
    if not packed then
        return one_in_hand(n, key)
    elseif not is_live then
        return reply('NOT_LIVE')
    end
    local h = history(packed)
    if not h then
        return redis.error_reply('ERR what is kept of the delivery cannot be read')
    end
    local body = body_of(n, h)
    if not body then
        return reply('NO_BODY')
    end
    queue({ n }, { { h = h, body = body } })
    return reply('DONE', nil, { n })
end

-- Numbers and times of creation rise together.
local function dead(from, since, till)
    local numbers = redis.call('ZRANGEBYSCORE', tag .. 'lates:' .. w, '(' .. from, '+inf',
        'LIMIT', 0, LOOK * max)
    local going, items, bytes, looked = {}, {}, 0, 0
    local following = #numbers == LOOK * max and numbers[#numbers] or ''
    for _, n in ipairs(numbers) do
        local packed = redis.call('ZSCORE', tag .. 'dead:' .. w, n)
            and redis.call('HGET', tag .. 'late:' .. w, n)
        local h = packed and history(packed)
        if h and till > 0 and h.created >= till then
            return going, items, ''
        end
        looked = looked + (packed and #packed or 0)
        local body = h and h.created >= since and body_of(n, h)
        if body then
            going[#going + 1] = n
            items[#going] = { h = h, body = body }
            bytes = bytes + #packed + (body ~= true and #body or 0)
        end
        if #going == max or bytes > BYTES or looked > LOOK_BYTES then
            return going, items, n
        end
    end
    return going, items, following
end

local function overdue(cursor)
    local page = redis.call('HSCAN', tag .. 'open:' .. w, cursor, 'COUNT', max)
    local numbers, seen = {}, {}
    for i = 1, #page[2], 2 do
        local n, open = page[2][i], page[2][i + 1]
        if not seen[n] and redis.call('ZSCORE', tag .. 'retry', w .. ':' .. n) then
            local h = history(string.sub(open, string.find(open, '|', 1, true) + 1))
            if h and (not h.next or h.next <= now) then
                numbers[#numbers + 1] = n
                seen[n] = true -- a scan may tell one twice
            end
        end
    end
    for i, n in ipairs(numbers) do
        redis.call('ZADD', tag .. 'retry', 'XX', due_of(i), w .. ':' .. n)
    end
    return reply('DONE', page[1] ~= '0' and page[1] or '', numbers)
end

if mode == 'one' then
    return one(ARGV[10])
elseif mode == 'dead' then
    if not is_live then
        return reply('NOT_LIVE')
    end
    local numbers, items, following = dead(ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12]))
    queue(numbers, items)
    return reply('DONE', following, numbers)
elseif status ~= 'active' then
    return reply('NOT_LIVE')
end
return overdue(ARGV[10])
