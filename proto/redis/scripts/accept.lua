-- accept: entries of the ingress stream become events of their accounts' feeds, with one
-- delivery for each webhook they are for; then they leave the stream.
--
-- An account whose webhooks have changed since they were matched gets none of its events
-- accepted ('S'); a producer's id that is known makes a duplicate ('D'); an entry that is no
-- longer there was another instance's ('M').
--
-- KEYS  <tag>inst, the ingress stream
-- ARGV  tag, id, epoch, group, now (us), '1' to clear marks,
--       number of webhooks, their numbers,
--       number of accounts, (account, registry version) each,
--       number of events, and for each: entry id, account (index), producer's id or '', record,
--       traceparent or '', number of targets, targets (index of the webhook; negative: to wait)
-- Reply {stamp, {cursor or verdict of each event}, {first n of each webhook},
--        {length of wait of each webhook, -1: nothing was added}}
local args, call = ARGV, redis.call -- local names are looked up faster
local tag, me, epoch = args[1], args[2], args[3]
local inst, events = KEYS[1], KEYS[2]
local known = call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local group, now, is_marked = args[4], tonumber(args[5]), args[6] == '1'

-- Lua's unpack ends near 8,000 values.
local function set_in_pieces(key, list)
    for from = 1, #list, 7000 do
        call('HSET', key, unpack(list, from, math.min(from + 6999, #list)))
    end
end

local function get_in_pieces(key, fields)
    local values = {}
    for from = 1, #fields, 7000 do
        local some = call('HMGET', key, unpack(fields, from, math.min(from + 6999, #fields)))
        for i = 1, #some do
            values[from + i - 1] = some[i]
        end
    end
    return values
end

-- The arguments.
local at = 7
local n_webhooks = tonumber(args[at])
local webhooks = {}
for i = 1, n_webhooks do
    webhooks[i] = args[at + i]
end
at = at + n_webhooks + 1

local n_accounts = tonumber(args[at])
local accounts, versions, is_stale = {}, {}, {}
for i = 1, n_accounts do
    accounts[i] = args[at + 2 * i - 1]
    versions[i] = args[at + 2 * i]
end
at = at + 2 * n_accounts + 1
local present = get_in_pieces(tag .. 'regv', accounts)
for i = 1, n_accounts do
    is_stale[i] = (present[i] or '0') ~= versions[i]
end

local n_events = tonumber(args[at])
at = at + 1
local place, count, verdict = {}, {}, {}
local producer_fields, producer_events = {}, {}
for e = 1, n_events do
    place[e] = at
    local account = tonumber(args[at + 1])
    if is_stale[account] then
        verdict[e] = 'S'
    elseif args[at + 2] ~= '' then
        producer_fields[#producer_fields + 1] = accounts[account] .. '/' .. args[at + 2]
        producer_events[#producer_events + 1] = e
    end
    count[e] = tonumber(args[at + 5])
    at = at + 6 + count[e]
end

local ids, id_events = {}, {}
for e = 1, n_events do
    if verdict[e] ~= 'S' then
        ids[#ids + 1] = args[place[e]]
        id_events[#ids] = e
    end
end
if #ids == 0 then
    return { '0', verdict, {}, {} }
end

-- The first write is of a kind that a full Redis refuses: then nothing has happened.
local last_stamp = tonumber(call('HGET', tag .. 'seq', '_t')) or 0
local stamp = math.max(now, last_stamp + 1)
local stamp_text = string.format('%.0f', stamp)
call('HSET', tag .. 'seq', '_t', stamp_text)

if call('XACK', events, group, unpack(ids)) < #ids then
    -- The group was made anew, or an entry was another's: what is still there is ours.
    for i = 1, #ids do
        if #call('XRANGE', events, ids[i], ids[i]) == 0 then
            verdict[id_events[i]] = 'M'
        end
    end
end

-- Producers' ids that are known: from the two generations, or from this very batch.  An entry
-- that is missing says nothing: nobody may have accepted it, and then it will be sent again.
local remember = {}
if #producer_fields > 0 then
    local now_ms = math.floor(now / 1000)
    local newer = get_in_pieces(tag .. 'dd:1', producer_fields)
    local older = get_in_pieces(tag .. 'dd:0', producer_fields)
    local seen = {}
    for i, field in ipairs(producer_fields) do
        local e, since = producer_events[i], newer[i] or older[i]
        if seen[field] or (since and tonumber(since) > now_ms - 86400000) then
            verdict[e] = verdict[e] or 'D'
        elseif not verdict[e] then
            seen[field] = true
            remember[#remember + 1] = field
            remember[#remember + 1] = string.format('%.0f', now_ms)
        end
    end
end

local first, last, waited = {}, {}, {}
if n_webhooks > 0 then
    local present = get_in_pieces(tag .. 'seq', webhooks)
    for i = 1, n_webhooks do
        last[i] = tonumber(present[i]) or 0
        first[i] = string.format('%.0f', last[i] + 1)
    end
end

local own, n_own, added, is_added = {}, 0, { me }, {}
local names, numbers, waiting = {}, {}, {} -- of one event
for e = 1, n_events do
    if not verdict[e] then
        local from, n_targets = place[e], count[e]
        local account = accounts[tonumber(args[from + 1])]
        if not is_added[account] then
            is_added[account] = true
            added[#added + 1] = account
        end
        for k = 1, n_targets do
            local target = tonumber(args[from + 5 + k])
            waiting[k] = target < 0
            if target < 0 then
                target = -target
                waited[target] = true
            end
            local number = last[target] + 1
            last[target] = number
            numbers[k] = number
            names[k] = webhooks[target] .. ':' .. number
        end
        local deliveries = n_targets == 1 and names[1] or table.concat(names, ',', 1, n_targets)
        local cursor
        if args[from + 4] == '' then
            cursor = call('XADD', tag .. 'led:' .. account, '*',
                'r', args[from + 3], 'd', deliveries)
        else
            cursor = call('XADD', tag .. 'led:' .. account, '*',
                'r', args[from + 3], 'd', deliveries, 'p', args[from + 4])
        end
        verdict[e] = cursor
        local value = '0:0:' .. stamp_text .. ':' .. cursor .. ':' .. account
        for k = 1, n_targets do
            if waiting[k] then
                local w = webhooks[-tonumber(args[from + 5 + k])]
                call('XADD', tag .. 'wait:' .. w, numbers[k] .. '-0',
                    'c', cursor, 's', stamp_text, 'a', account)
            else
                own[n_own + 1] = names[k]
                own[n_own + 2] = value
                n_own = n_own + 2
            end
        end
    end
end

if n_webhooks > 0 then
    local lasts = {}
    for i = 1, n_webhooks do
        lasts[2 * i - 1] = webhooks[i]
        lasts[2 * i] = string.format('%.0f', last[i])
    end
    set_in_pieces(tag .. 'seq', lasts)
end
if n_own > 0 then
    set_in_pieces(tag .. 'own:' .. me, own)
end
if #remember > 0 then
    set_in_pieces(tag .. 'dd:1', remember)
    call('HSETNX', tag .. 'seq', '_d', string.format('%.0f', math.floor(now / 1000)))
end
call('XDEL', events, unpack(ids))
if is_marked then
    local marks = {}
    for i = 1, #ids do
        marks[i] = 'e:' .. ids[i]
    end
    call('HDEL', tag .. 'marks', unpack(marks))
end
-- The others' readers of these feeds wait for it.  One that we are not allowed to tell looks
-- for itself.
if #added > 1 and call('HLEN', inst) > 1 then
    redis.pcall('PUBLISH', tag .. 'feed', table.concat(added, ' '))
end

local lengths = {}
for i = 1, n_webhooks do
    lengths[i] = -1
    if waited[i] then
        call('SADD', tag .. 'waiting', webhooks[i])
        lengths[i] = call('XLEN', tag .. 'wait:' .. webhooks[i])
    end
end
return { stamp_text, verdict, first, lengths }
