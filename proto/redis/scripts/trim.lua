-- trim: the oldest events of a feed go; the body of what is still owed first gets a key of its
-- own.  Nothing younger than 5 s goes.
--
-- The last one that went is noted in <tag>trimmed: whoever has read that far misses nothing.  A
-- named consumer that has not is moved on behind it, and what it misses is counted (skipped).
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, account, how many are kept, for how long (ms), at most so many now
-- Reply how many more there are to trim (roughly; 0: none; -1: some, when they are old enough)
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local inst = KEYS[1]
local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local feed = tag .. 'led:' .. ARGV[4]
local keep, max = tonumber(ARGV[5]), tonumber(ARGV[7])
local BYTES, STEP = 4194304, 16 -- of events in one call, about; events read at a time, at most
local time = redis.call('TIME') -- the clock that the entries' ids are by
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local oldest, youngest = now - tonumber(ARGV[6]), now - 5000

local over = redis.call('XLEN', feed) - keep
local going, n_bytes, next_id, is_cut = {}, 0, nil, false
local start, largest = '-', BYTES -- what lies there may be large: so the first is read alone
repeat
    local step = math.max(1, math.min(STEP, math.floor((BYTES - n_bytes) / largest)))
    local entries = redis.call('XRANGE', feed, start, '+', 'COUNT', step)
    if start == '-' then
        largest = 1
    end
    for _, entry in ipairs(entries) do
        local n, ms = #going + 1, tonumber(string.match(entry[1], '^%d+'))
        is_cut = n > max or n_bytes > BYTES
        if is_cut or ms > youngest or (n > over and ms >= oldest) then
            next_id = entry[1]
            break
        end
        going[n] = entry
        n_bytes, start = n_bytes + #entry[2][2], '(' .. entry[1]
        largest = math.max(largest, #entry[2][2])
    end
until next_id or #entries < step
if #going == 0 then
    return over > 0 and -1 or 0
end

-- Whose deliveries are still owed?  In wait (in order of n, so most are ruled out by its first),
-- or owned and not failed yet (what has failed has its body).
local first_waiting = {}
local function waits(w, n)
    local first = first_waiting[w]
    if not first then
        local entries = redis.call('XRANGE', tag .. 'wait:' .. w, '-', '+', 'COUNT', 1)
        first = entries[1] and tonumber(string.match(entries[1][1], '^%d+')) or math.huge
        first_waiting[w] = first
    end
    n = tonumber(n)
    return n >= first and #redis.call('XRANGE', tag .. 'wait:' .. w, n, n) > 0
end

local owed, keys, at = {}, {}, {}
for i, entry in ipairs(going) do
    for w, n in string.gmatch(entry[2][4], '(%d+):(%d+)') do
        keys[#keys + 1] = w .. ':' .. n
        at[#at + 1] = i
        if waits(w, n) then
            owed[#owed + 1] = #keys
        end
    end
end
local holders = redis.call('HKEYS', inst)
for _, orphan in ipairs(redis.call('HKEYS', tag .. 'orphans')) do
    holders[#holders + 1] = orphan
end
for _, holder in ipairs(holders) do
    for from = 1, #keys, 7000 do
        local values = redis.call('HMGET', tag .. 'own:' .. holder,
            unpack(keys, from, math.min(from + 6999, #keys)))
        for i = 1, #values do
            if values[i] then
                owed[#owed + 1] = from + i - 1
            end
        end
    end
end

-- A call of an allowed kind first: a full Redis must be able to make room.
redis.call('HDEL', inst, '-')
for _, k in ipairs(owed) do
    local f = going[at[k]][2] -- r, record, d, deliveries, p, traceparent
    local body = f[2]
    if f[6] then
        body = f[6] .. '\n' .. body
    end
    redis.call('SET', tag .. 'body:' .. keys[k], body, 'NX')
end
if next_id then
    redis.call('XTRIM', feed, 'MINID', next_id)
else
    redis.call('XTRIM', feed, 'MAXLEN', 0)
end
local last = going[#going][1]
redis.call('HSET', tag .. 'trimmed', ARGV[4], last)

for _, name in ipairs(redis.call('SMEMBERS', tag .. 'cons:' .. ARGV[4])) do
    local consumer = tag .. 'con:' .. ARGV[4] .. ':' .. name
    local passed = tonumber(redis.call('HGET', consumer, 'passed')) or 0
    if passed >= #going then
        redis.call('HINCRBY', consumer, 'passed', -#going)
    else
        redis.call('HSET', consumer, 'pos', last, 'passed', '0')
        redis.call('HINCRBY', consumer, 'skipped', #going - passed)
    end
end
if is_cut then
    return math.max(over - #going, 1)
end
return over > #going and -1 or 0
