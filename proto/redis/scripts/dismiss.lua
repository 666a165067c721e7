-- dismiss: a named consumer is no more.
--
-- Behind consuming.lua.
--
-- Reply {'OK'}; {'NOT_FOUND'}
local c = find(name)
if not c.pos then
    return { 'NOT_FOUND' }
end
redis.call('SREM', names, name)
redis.call('DEL', c.con, c.out, c.ids)
return { 'OK' }
