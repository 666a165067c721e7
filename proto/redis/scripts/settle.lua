-- settle: what came of deliveries that are ours.  Each is looked up first: one that is not
-- ours any more, or was attempted since, is left alone, so a script sent twice does no harm.
--
-- Behind place.lua.
--
-- KEYS  <tag>inst, the ingress stream
-- ARGV  tag, id, epoch, history max, dead letter max, disable after, engine key,
--       number of holds, (w, until ms) each,
--       number of deliveries, and for each its kind, then
--         D (delivered)  w, n, token, flags, record, ended ms, response or ''
--         P (parked)     w, n, token, flags, state, due ms, body or '', attempts
--         X (dead)       w, n, token, flags, record, ended ms, body or '', account, notice, reason
--       flags: p it was parked before, b it has a body of its own, m marked, l write last_delivery_at, r the count of
--       failures was not 0, c counts towards disabling, g disable at once
-- Reply {'1' or '0' for each delivery, w, failures, '1' when disabled now, ... for each change}
local args, call, sub, find = ARGV, redis.call, string.sub, string.find -- looked up faster
local tag, me, epoch = args[1], args[2], args[3]
local inst, events = KEYS[1], KEYS[2]
local known = call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local history_max, dead_max = tonumber(args[4]), tonumber(args[5])
local disable_after, engine_key = tonumber(args[6]), args[7]
local own_key = tag .. 'own:' .. me
local n_fixed = { D = 8, P = 9, X = 11 }

local at = 8
local n_holds = tonumber(args[at])
local first_hold = at + 1
at = at + 1 + 2 * n_holds
local n = tonumber(args[at])
at = at + 1

local place, fields = {}, {}
for i = 1, n do
    place[i] = at
    fields[i] = args[at + 1] .. ':' .. args[at + 2]
    at = at + n_fixed[args[at]]
end

-- Release what is ours first: a kind that a full Redis allows, and it opens the door for the
-- rest.
local values = n > 0 and call('HMGET', own_key, unpack(fields)) or {}
local is_ours, released, n_released = {}, { '-' }, 1
for i = 1, n do
    local token, value = args[place[i] + 3], values[i]
    if value and sub(value, 1, #token + 1) == token .. ':' then
        is_ours[i] = '1'
        n_released = n_released + 1
        released[n_released] = fields[i]
    else
        is_ours[i] = '0'
    end
end
call('HDEL', own_key, unpack(released))

for i = 0, n_holds - 1 do
    local w, till = args[first_hold + 2 * i], args[first_hold + 2 * i + 1]
    local known = call('HGET', tag .. 'hold', w)
    if not known or tonumber(known) < tonumber(till) then
        call('HSET', tag .. 'hold', w, till)
    end
end

-- One variadic command for each webhook and kind.
local groups, order = {}, {}
local function group(w)
    local g = groups[w]
    if not g then
        g = { w = w, hist = {}, n_hist = 0, gone = {}, n_gone = 0, late = {}, lates = {},
              dead = {}, open = {}, closed = {}, newest = {}, responses = {} }
        groups[w] = g
        order[#order + 1] = g
    end
    return g
end
local retries, bodies, marks, changed, was_disabled = {}, {}, {}, {}, {}

local function add(list, a, b)
    list[#list + 1] = a
    if b then
        list[#list + 1] = b
    end
end

local function disable(w, account, notice, reason, now)
    call('HSET', tag .. 'wh:' .. w, 'st', 'disabled', 'da', now, 'dr', reason,
        'dc', last_generated(tag .. 'led:' .. account))
    call('HINCRBY', tag .. 'regv', account, 1)
    call('HINCRBY', tag .. 'regv', '*', 1)
    call('XADD', events, '*', 'type', 'webhook.disabled', 'account', account,
        'payload', notice, 'engine_key', engine_key)
end

local function count_failure(w, from, flags)
    local count
    if find(flags, 'c', 1, true) then
        count = call('HINCRBY', tag .. 'wh:' .. w, 'cf', 1)
    else
        count = tonumber(call('HGET', tag .. 'wh:' .. w, 'cf')) or 0
    end
    groups[w].count = count
    local is_over = find(flags, 'c', 1, true) and disable_after > 0 and count >= disable_after
    was_disabled[w] = was_disabled[w] or '0'
    if is_over or find(flags, 'g', 1, true) then
        local status = call('HGET', tag .. 'wh:' .. w, 'st')
        if status == 'active' or status == 'paused' then
            disable(w, args[from + 8], args[from + 9], args[from + 10], args[from + 6])
            was_disabled[w] = '1'
        end
    end
    changed[w] = count
end

local function reset_failures(g)
    g.count = g.count or tonumber(call('HGET', tag .. 'wh:' .. g.w, 'cf')) or 0
    if g.count > 0 then
        call('HSET', tag .. 'wh:' .. g.w, 'cf', '0')
        g.count = 0
        changed[g.w] = 0
        was_disabled[g.w] = was_disabled[g.w] or '0'
    end
end

-- Each of the hundred slots is for the newest that falls into it.  One that comes late (a
-- retry, a redelivery, one of a backfill) may find a newer one there.
local function keep_response(g, number, from, is_late)
    local slot = number % 100
    local newest = g.newest[slot]
    if not newest and is_late then
        local kept = call('HGET', tag .. 'resp:' .. g.w, slot)
        newest = kept and tonumber(string.match(kept, '^%d+'))
    end
    if not newest or newest <= number then
        g.newest[slot] = number
        g.responses[slot] = from
    end
end

-- The common case, and so the one that is to be quick: its flags are none.
local function delivered(g, from, flags)
    local n, number = args[from + 2], tonumber(args[from + 2])
    local is_parked, has_body = false, false
    if flags ~= '' then
        is_parked, has_body = find(flags, 'p', 1, true), find(flags, 'b', 1, true)
        if find(flags, 'l', 1, true) then
            g.last = args[from + 6]
        end
        if find(flags, 'r', 1, true) then
            reset_failures(g)
        end
    end
    if is_parked then
        add(g.late, n, args[from + 5])
        add(g.lates, n, n)
        add(g.closed, n)
    else
        g.hist[g.n_hist + 1] = n
        g.hist[g.n_hist + 2] = args[from + 5]
        g.n_hist = g.n_hist + 2
        if number > history_max then
            g.n_gone = g.n_gone + 1
            g.gone[g.n_gone] = number - history_max
        end
    end
    if args[from + 7] ~= '' then
        keep_response(g, number, from, is_parked or has_body)
    end
    if has_body then
        add(bodies, tag .. 'body:' .. g.w .. ':' .. n)
    end
end

local function parked(g, from, number, flags, value)
    local rest = string.match(value, '^%d+:%d+:(.*)$')
    add(g.open, number, args[from + 8] .. ':0:' .. rest .. '|' .. args[from + 5])
    add(retries, args[from + 6], g.w .. ':' .. number)
    if not find(flags, 'p', 1, true) then
        add(g.lates, number, number)
    end
    if args[from + 7] ~= '' then
        call('SET', tag .. 'body:' .. g.w .. ':' .. number, args[from + 7])
    end
end

local function dead(g, from, number, flags)
    add(g.late, number, args[from + 5])
    add(g.lates, number, number)
    add(g.dead, args[from + 6], number)
    add(g.closed, number)
    if args[from + 7] ~= '' then
        call('SET', tag .. 'body:' .. g.w .. ':' .. number, args[from + 7])
    end
    if find(flags, '[cg]') then
        count_failure(g.w, from, flags)
    end
end

for i = 1, n do
    if is_ours[i] == '1' then
        local from = place[i]
        local kind, number, flags = args[from], args[from + 2], args[from + 4]
        local g = group(args[from + 1])
        if kind == 'D' then
            delivered(g, from, flags)
        elseif kind == 'P' then
            parked(g, from, number, flags, values[i])
        else
            dead(g, from, number, flags)
        end
        if flags ~= '' and find(flags, 'm', 1, true) then
            add(marks, 'd:' .. fields[i])
        end
    end
end

-- The oldest dead letters beyond the bound go, bodies and all.
local function bound_dead(w)
    local over = call('ZCARD', tag .. 'dead:' .. w) - dead_max
    if over <= 0 then
        return
    end
    local gone = call('ZRANGE', tag .. 'dead:' .. w, 0, math.min(over, 1000) - 1)
    call('ZREM', tag .. 'dead:' .. w, unpack(gone))
    call('ZREM', tag .. 'lates:' .. w, unpack(gone))
    call('HDEL', tag .. 'late:' .. w, unpack(gone))
    for i = 1, #gone do
        gone[i] = tag .. 'body:' .. w .. ':' .. gone[i]
    end
    call('UNLINK', unpack(gone))
end

for _, g in ipairs(order) do
    local w = g.w
    if #g.hist > 0 then
        call('HSET', tag .. 'hist:' .. w, unpack(g.hist))
    end
    if #g.gone > 0 then
        call('HDEL', tag .. 'hist:' .. w, unpack(g.gone))
    end
    if #g.closed > 0 then
        call('HDEL', tag .. 'open:' .. w, unpack(g.closed))
    end
    if #g.open > 0 then
        call('HSET', tag .. 'open:' .. w, unpack(g.open))
    end
    if #g.late > 0 then
        call('HSET', tag .. 'late:' .. w, unpack(g.late))
    end
    if #g.lates > 0 then
        call('ZADD', tag .. 'lates:' .. w, unpack(g.lates))
    end
    local responses = {}
    for slot, from in pairs(g.responses) do
        add(responses, slot, args[from + 2] .. ' ' .. args[from + 7])
    end
    if #responses > 0 then
        call('HSET', tag .. 'resp:' .. w, unpack(responses))
    end
    if g.last then
        call('HSET', tag .. 'wh:' .. w, 'last', g.last)
    end
    if #g.dead > 0 then
        call('ZADD', tag .. 'dead:' .. w, unpack(g.dead))
        bound_dead(w)
    end
end
if #retries > 0 then
    call('ZADD', tag .. 'retry', unpack(retries))
end
if #bodies > 0 then
    call('UNLINK', unpack(bodies))
end
if #marks > 0 then
    call('HDEL', tag .. 'marks', unpack(marks))
end

local reply = { table.concat(is_ours) }
for w, count in pairs(changed) do
    add(reply, w, count)
    add(reply, was_disabled[w])
end
return reply
