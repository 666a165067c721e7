-- beat: say that we live, and see who else does.  The first beat on a new connection also
-- raises our epoch, so that nothing left over from the old connection is carried out.
--
-- KEYS  <tag>inst
-- ARGV  tag, id, epoch, now (ms)
-- Reply {beats, processes, orphans, registry total, holds}: hashes as flat lists
local tag, me, epoch, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local inst = KEYS[1]

local known = redis.call('HGET', inst, me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end

-- A call of an allowed kind first: the beat must work at maxmemory.
redis.call('HDEL', inst, '-')
if known ~= epoch then
    redis.call('HSET', inst, me, epoch)
end
redis.call('HINCRBY', tag .. 'beat', me, 1)

local holds = redis.call('HGETALL', tag .. 'hold')
for i = 1, #holds, 2 do
    -- Kept for a while after its end: clocks differ.
    if tonumber(holds[i + 1]) < now - 600000 then
        redis.call('HDEL', tag .. 'hold', holds[i])
    end
end
return {
    redis.call('HGETALL', tag .. 'beat'),
    redis.call('HGETALL', tag .. 'process'),
    redis.call('HGETALL', tag .. 'orphans'),
    redis.call('HGET', tag .. 'regv', '*') or '0',
    holds,
}
