-- expire: dead letters that are too old, and late records beyond the bound.
-- (What was delivered at the first attempt is looked at by age in the engine.)
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, w, oldest kept (ms), history max, from n, at most so many,
--       n ... of hist to drop
-- Reply {how many dead letters went, n to look from next time or '0': from the start}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local w, oldest, history_max = ARGV[4], ARGV[5], tonumber(ARGV[6])
local from, max = ARGV[7], tonumber(ARGV[8])
local late, lates, dead = tag .. 'late:' .. w, tag .. 'lates:' .. w, tag .. 'dead:' .. w

if #ARGV > 8 then
    redis.call('HDEL', tag .. 'hist:' .. w, unpack(ARGV, 9))
end

-- settle trims hist as n grows; one that was delivered long after those behind it comes too late
-- for that.  Where there are such, a look at some of hist, from anywhere.
local function drop_stragglers()
    local hist = tag .. 'hist:' .. w
    if redis.call('HLEN', hist) <= history_max + 100 then
        return
    end
    local front = tonumber(redis.call('HGET', tag .. 'seq', w) or 0)
    for _, queue in ipairs({ 'wait:', 'fill:' }) do
        local first = redis.call('XRANGE', tag .. queue .. w, '-', '+', 'COUNT', 1)[1]
        front = first and math.min(front, tonumber(string.match(first[1], '^%d+'))) or front
    end
    local page = redis.call('HSCAN', hist, redis.call('TIME')[2], 'COUNT', max)[2]
    local going = {}
    for i = 1, #page, 2 do
        -- What lies between is owned, or not trimmed yet.
        if tonumber(page[i]) < front - history_max - 20000 then
            going[#going + 1] = page[i]
        end
    end
    if #going > 0 and #going < 7000 then
        redis.call('HDEL', hist, unpack(going))
    end
end
drop_stragglers()

local function drop(list)
    if #list == 0 then
        return
    end
    redis.call('HDEL', late, unpack(list))
    redis.call('ZREM', lates, unpack(list))
    redis.call('ZREM', dead, unpack(list))
    local bodies = {}
    for i = 1, #list do
        bodies[i] = tag .. 'body:' .. w .. ':' .. list[i]
    end
    redis.call('UNLINK', unpack(bodies))
end

local gone = redis.call('ZRANGEBYSCORE', dead, '-inf', '(' .. oldest, 'LIMIT', 0, max)
drop(gone)

-- Of those delivered late, the newest by n are kept.
local n_dead = redis.call('ZCARD', dead)
local n_open = redis.call('HLEN', tag .. 'open:' .. w)
local over = redis.call('ZCARD', lates) - n_dead - n_open - history_max
local next_from = '0'
if over > 0 then
    local list = redis.call('ZRANGEBYSCORE', lates, '(' .. from, '+inf', 'LIMIT', 0, max)
    local going = {}
    for i = 1, #list do
        if #going < over and not redis.call('ZSCORE', dead, list[i])
            and redis.call('HEXISTS', tag .. 'open:' .. w, list[i]) == 0 then
            going[#going + 1] = list[i]
        end
    end
    drop(going)
    next_from = list[max] or '0'
end
return { #gone, next_from }
