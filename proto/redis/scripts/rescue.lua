-- rescue: entries that consumers without a live instance have pending become ours, and such
-- consumers with nothing pending are forgotten.
--
-- KEYS  <tag>inst, the ingress stream
-- ARGV  tag, id, epoch, group, our consumer, at most so many
-- Reply {how many, 1 when there may be more}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local inst, events = KEYS[1], KEYS[2]
local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local group, us, max = ARGV[4], ARGV[5], tonumber(ARGV[6])
local consumers = redis.call('XINFO', 'CONSUMERS', events, group)
local n_claimed, has_more = 0, 0
for _, c in ipairs(consumers) do
    local name, n_pending
    for i = 1, #c, 2 do
        if c[i] == 'name' then
            name = c[i + 1]
        elseif c[i] == 'pending' then
            n_pending = c[i + 1]
        end
    end
    -- The last 26 characters of our names are the instance's id.
    if name ~= us and redis.call('HEXISTS', inst, string.sub(name, -26)) == 0 then
        if n_pending == 0 then
            redis.call('XGROUP', 'DELCONSUMER', events, group, name)
        elseif n_claimed >= max then
            has_more = 1
        else
            local ids = {}
            for i, p in ipairs(redis.call('XPENDING', events, group, '-', '+', max - n_claimed, name)) do
                ids[i] = p[1]
            end
            n_claimed = n_claimed + #ids
            ids[#ids + 1] = 'JUSTID'
            redis.call('XCLAIM', events, group, us, 0, unpack(ids))
            has_more = 1 -- also so that the empty consumer is forgotten on the next look
        end
    end
end
return { n_claimed, has_more }
