-- trim: the oldest events of a feed go; the body of what is still owed first gets a key of its
-- own.  Nothing younger than 5 s goes.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, account, how many are kept, for how long (ms), at most so many now
-- Reply how many more there are to trim (roughly; 0: none)
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local inst = KEYS[1]
local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local feed = tag .. 'led:' .. ARGV[4]
local keep, max = tonumber(ARGV[5]), tonumber(ARGV[7])
local time = redis.call('TIME') -- the clock that the entries' ids are by
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local oldest, youngest = now - tonumber(ARGV[6]), now - 5000

local over = redis.call('XLEN', feed) - keep
local going, next_id = {}, nil
for i, entry in ipairs(redis.call('XRANGE', feed, '-', '+', 'COUNT', max + 1)) do
    local ms = tonumber(string.match(entry[1], '^%d+'))
    if i > max or ms > youngest or (i > over and ms >= oldest) then
        next_id = entry[1]
        break
    end
    going[i] = entry
end
if #going == 0 then
    return 0
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
return #going == max and math.max(over - #going, 1) or 0
