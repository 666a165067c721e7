-- gauges: what the metrics page says of the installation.
--
-- KEYS  the ingress stream
-- ARGV  tag, group
-- Reply {stream length, pending, waiting, oldest stamp (us) or '0', retries, memory bytes}
local tag, group, events = ARGV[1], ARGV[2], KEYS[1]
local pending = redis.pcall('XPENDING', events, group)
local n_waiting, oldest = 0, math.huge
for i, w in ipairs(redis.call('SMEMBERS', tag .. 'waiting')) do
    for _, queue in ipairs({ 'wait:', 'fill:' }) do
        n_waiting = n_waiting + redis.call('XLEN', tag .. queue .. w)
        local first = i <= 1000
            and redis.call('XRANGE', tag .. queue .. w, '-', '+', 'COUNT', 1)[1]
        if first then
            oldest = math.min(oldest, tonumber(first[2][4]))
        end
    end
end
local n_retries = redis.call('ZCARD', tag .. 'retry')
local owners = redis.call('HKEYS', tag .. 'inst')
for _, orphan in ipairs(redis.call('HKEYS', tag .. 'orphans')) do
    owners[#owners + 1] = orphan
end
for _, owner in ipairs(owners) do
    n_waiting = n_waiting + redis.call('HLEN', tag .. 'own:' .. owner)
end
local info = redis.pcall('INFO', 'memory')
local memory = type(info) == 'string' and string.match(info, 'used_memory:(%d+)') or '0'
return {
    redis.call('XLEN', events),
    pending.err and 0 or pending[1],
    n_waiting,
    oldest == math.huge and '0' or string.format('%.0f', oldest),
    n_retries,
    memory,
}
