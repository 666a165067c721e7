-- bury: a webhook deleted long ago goes for good, with all that is kept of it.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, deleted before (ms)
-- Reply 1: one went, look again; 0: none
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
for _, w in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'tombs', '-inf', '(' .. ARGV[4], 'LIMIT', 0, 10)) do
    local function n_left(command, name)
        return redis.call(command, tag .. name .. w)
    end
    if n_left('XLEN', 'wait:') + n_left('XLEN', 'fill:') + n_left('HLEN', 'open:')
        + n_left('ZCARD', 'dead:') == 0 then
        local f = redis.call('HMGET', tag .. 'wh:' .. w, 'a', 'i')
        redis.call('ZREM', tag .. 'tombs', w)
        for _, name in ipairs({ 'wh:', 'hist:', 'late:', 'lates:', 'dead:', 'open:', 'resp:',
            'wait:', 'fill:' }) do
            redis.call('UNLINK', tag .. name .. w)
        end
        redis.call('HDEL', tag .. 'seq', w)
        redis.call('HDEL', tag .. 'hold', w)
        if f[2] then
            redis.call('HDEL', tag .. 'whid', f[2])
        end
        if f[1] then
            redis.call('ZREM', tag .. 'acctd:' .. f[1], w)
            redis.call('HINCRBY', tag .. 'regv', f[1], 1)
            redis.call('HINCRBY', tag .. 'regv', '*', 1)
        end
        return 1
    end
end
return 0
