-- page: deliveries of some webhooks from a number on, downwards or upwards.
--
-- Numbers are dense, and each delivery is in exactly one place, so a window of numbers is looked
-- up in one place after the other.  Far below what is new only those that failed once are
-- left: they have an index (lates).
--
-- ARGV  tag, 'all' or 'lates' (only those that failed at least once), '-1' (down) or '1' (up),
--       at most so many each, history max, then for each webhook: w, from n (0: the newest)
-- Reply for each webhook {its last n, n to go on from or -1 (no more), then for each delivery: n,
--       where (as find.lua, and 'wait'), value, head of the record for 'own' and 'wait'}
local tag, mode, step = ARGV[1], ARGV[2], tonumber(ARGV[3])
local max, history_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local FIRST_WINDOW, WINDOW, WINDOWS, SLACK = 16, 128, 7, 20000
local FRONT = 4096 -- of what is kept of one: all but its attempt log
-- So much is read in one call, of what is kept of them and of their events.
local BYTES, n_bytes, n_read = 4194304, 0, 0

local holders = redis.call('HKEYS', tag .. 'inst')
local n_live = #holders
for _, orphan in ipairs(redis.call('HKEYS', tag .. 'orphans')) do
    holders[#holders + 1] = orphan
end

local function text(n)
    return string.format('%.0f', n)
end

-- The record without its payload.
local function head(w, n, value)
    local cursor, account = string.match(value, '^%d+:%d+:%d+:([%d-]+):(.*)$')
    local entry = redis.call('XRANGE', tag .. 'led:' .. account, cursor, cursor)[1]
    local record = entry and entry[2][2]
    if not record then
        local body = redis.call('GET', tag .. 'body:' .. w .. ':' .. n) or ''
        record = string.match(body, '{.*') or ''
    end
    n_bytes = n_bytes + #record
    local data = string.find(record, ',"data":', 1, true)
    return data and string.sub(record, 1, data - 1) .. ',"data":null}' or ''
end

-- found[i] for numbers[i]: {where, value}
local function look_up(w, numbers)
    local is_paused = redis.call('HGET', tag .. 'wh:' .. w, 'st') == 'paused'
    local found, missing = {}, numbers
    local place = {}
    for i, n in ipairs(numbers) do
        place[n] = i
    end
    local function from(command, key, arguments, where)
        if #missing == 0 then
            return
        end
        local values = redis.call(command, key, unpack(arguments))
        local left = {}
        for i, n in ipairs(missing) do
            if values[i] then
                found[place[n]] = { where, values[i] }
                n_bytes, n_read = n_bytes + #values[i], n_read + 1
            else
                left[#left + 1] = n
            end
        end
        missing = left
    end
    local function keys()
        local list = {}
        for i, n in ipairs(missing) do
            list[i] = w .. ':' .. n
        end
        return list
    end
    from('HMGET', tag .. 'hist:' .. w, missing, 'done')
    from('HMGET', tag .. 'late:' .. w, missing, 'done')
    from('HMGET', tag .. 'open:' .. w, missing, 'open')
    for i, holder in ipairs(holders) do
        from('HMGET', tag .. 'own:' .. holder, keys(), i <= n_live and not is_paused and 'own' or 'wait')
    end
    if #missing > 0 then
        local low, high = missing[1], missing[#missing]
        if tonumber(low) > tonumber(high) then
            low, high = high, low
        end
        for _, queue in ipairs({ 'wait:', 'fill:' }) do
            for _, entry in ipairs(redis.call('XRANGE', tag .. queue .. w, low .. '-0', high .. '-0')) do
                local n, f = string.sub(entry[1], 1, -3), entry[2]
                if place[n] and not found[place[n]] then
                    found[place[n]] = { 'wait', '0:0:' .. f[4] .. ':' .. f[2] .. ':' .. f[6] }
                end
            end
        end
    end
    for i, n in ipairs(numbers) do
        if found[i] and found[i][1] == 'open' then
            local is_parked = redis.call('ZSCORE', tag .. 'retry', w .. ':' .. n)
            found[i][1] = is_parked and (is_paused and 'idle' or 'open')
                or (is_paused and 'held' or 'busy')
        end
    end
    return found
end

-- The next numbers to look at from `n` on, `width` at most, and where to go on after them (nil:
-- nowhere).
local function candidates(w, n, last, floor, width)
    local is_sparse = mode == 'lates' or n < floor
    local numbers = {}
    if is_sparse then
        local command = step < 0 and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE'
        local stop = step < 0 and '-inf' or (mode == 'lates' and '+inf' or text(floor - 1))
        numbers = redis.call(command, tag .. 'lates:' .. w, text(n), stop, 'LIMIT', 0, width)
        if #numbers == width then
            return numbers, tonumber(numbers[#numbers]) + step
        end
        if step > 0 and mode ~= 'lates' then
            return numbers, floor
        end
        return numbers, nil
    end
    local to = step < 0 and math.max(n - width + 1, floor, 1) or math.min(n + width - 1, last)
    for k = n, to, step do
        numbers[#numbers + 1] = text(k)
    end
    local following = to + step
    if following < 1 or following > last then
        following = nil
    end
    return numbers, following
end

-- How many to look at next: what is wanted, or more in a search through holes; fewer where
-- those before were large.
local function width_of(windows, count)
    if windows == 1 then
        return math.min(FIRST_WINDOW, max + 1)
    end
    local width = count == 0 and WINDOW or math.min(WINDOW, max - count + 1)
    if n_read == 0 then
        return width
    end
    local room = math.floor((BYTES - n_bytes) / (n_bytes / n_read))
    return math.max(math.min(width, room), 1)
end

-- The lowest number that waits, or the next one.
local function front_of(w, last)
    local front = last + 1
    for _, queue in ipairs({ 'wait:', 'fill:' }) do
        local first = redis.call('XRANGE', tag .. queue .. w, '-', '+', 'COUNT', 1)[1]
        front = first and math.min(front, tonumber(string.sub(first[1], 1, -3))) or front
    end
    return front
end

local function page(w, from)
    local last = tonumber(redis.call('HGET', tag .. 'seq', w)) or 0
    local one = { text(last), -1 }
    -- Dense down to here: whatever is further back than the history behind what waits.
    local floor = math.max(1, front_of(w, last) - history_max - SLACK)
    local n = from
    if n == 0 or n > last then
        if step > 0 and n ~= 0 then
            return one
        end
        n = step < 0 and last or 1
    end
    if last == 0 then
        return one
    end
    local windows, count = 0, 0
    while n do
        if windows == WINDOWS then
            one[2] = text(n)
            return one
        end
        windows = windows + 1
        local numbers, following = candidates(w, n, last, floor, width_of(windows, count))
        local found = #numbers > 0 and look_up(w, numbers) or {}
        for i, number in ipairs(numbers) do
            if found[i] then
                if count == max or (count > 0 and n_bytes > BYTES) then
                    one[2] = number
                    return one
                end
                count = count + 1
                local where, value = found[i][1], found[i][2]
                local at = #one
                one[at + 1], one[at + 2], one[at + 3] = number, where, string.sub(value, 1, FRONT)
                one[at + 4] = (where == 'own' or where == 'wait') and head(w, number, value) or ''
            end
        end
        n = following
    end
    return one
end

local reply = {}
for i = 6, #ARGV, 2 do
    reply[#reply + 1] = page(ARGV[i], tonumber(ARGV[i + 1]))
end
return reply
