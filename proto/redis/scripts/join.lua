-- join: this instance is a member from now on, under a new id; the schema and the consumer
-- group are made where they are missing.
--
-- KEYS  <tag>inst, <prefix>:meta, the ingress stream
-- ARGV  tag, id, epoch, process, schema, min_reader, shards, group, engine key to use where
--       there is none, root token's SHA-256 or '', '1' to replace the stored one, the feeds'
--       epoch to use where there is none
-- Reply {1, engine key, the feeds' epoch} or {0, why not}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local schema, min_reader, shards, root = ARGV[5], ARGV[6], ARGV[7], ARGV[10]
local inst, meta, events = KEYS[1], KEYS[2], KEYS[3]

local stored = redis.call('HMGET', meta, 'schema', 'min_reader', 'shards', 'root_sha256')
if stored[2] and tonumber(stored[2]) > tonumber(schema) then
    return { 0, 'the data in Redis has schema ' .. (stored[1] or '?') ..
        ' and needs an engine that knows schema ' .. stored[2] .. '; this one knows ' .. schema }
end
if stored[3] and stored[3] ~= shards then
    return { 0, 'the data in Redis is spread over ' .. stored[3] ..
        ' shards; this engine uses ' .. shards }
end
if root ~= '' and stored[4] and stored[4] ~= root and ARGV[11] ~= '1' then
    return { 0, 'another root token is in use by this installation ' ..
        '(start with --replace-root-token to replace it)' }
end

-- A call of an allowed kind first: a full Redis must not keep out who could drain it.
redis.call('HDEL', inst, '-')

local group = redis.pcall('XGROUP', 'CREATE', events, ARGV[8], '0', 'MKSTREAM')
if group.err and not string.find(group.err, 'BUSYGROUP', 1, true) then
    return group
end

if not stored[1] or tonumber(stored[1]) < tonumber(schema) then
    redis.call('HSET', meta, 'schema', schema, 'min_reader', min_reader, 'shards', shards)
end
redis.call('HSETNX', meta, 'engine_key', ARGV[9])
if root ~= '' and stored[4] ~= root then
    redis.call('HSET', meta, 'root_sha256', root)
end

redis.call('HSET', inst, me, epoch)
redis.call('HSET', tag .. 'beat', me, '0')
redis.call('HSET', tag .. 'process', me, ARGV[4])
-- Who reads a feed knows by this number that it is still the same one: it goes when the feeds do.
redis.call('HSETNX', tag .. 'seq', '_e', ARGV[12])
return { 1, redis.call('HGET', meta, 'engine_key'), redis.call('HGET', tag .. 'seq', '_e') }
