-- consumers: the named consumers of an account, by name.
--
-- Behind consuming.lua.
--
-- ARGV  5: the name behind which; 6: how many at most; fewer where much of what was out is gone
-- Reply {'OK', 1 if there is more, then for each: name, place, behind it, out, skipped, created}
local behind, n_max = name, tonumber(ARGV[6])
local sorted, reply = {}, { 'OK', 0 }
for _, one in ipairs(redis.call('SMEMBERS', names)) do
    if one > behind then
        sorted[#sorted + 1] = one
    end
end
table.sort(sorted)
local n_kept, n, n_gone = redis.call('XLEN', feed), 0, 0
while n < math.min(#sorted, n_max) and n_gone < LOOKS do
    n = n + 1
    local c = find(sorted[n])
    n_gone = n_gone + settle_gone(c)
    local shown = { sorted[n], c.pos, n_kept - c.passed, redis.call('ZCARD', c.out), c.skipped,
        c.created }
    for _, one in ipairs(shown) do
        reply[#reply + 1] = one
    end
end
reply[2] = #sorted > n and 1 or 0
return reply
