-- find: where one delivery is, and what is kept of it there.
--
-- ARGV  tag, w, n
-- Reply {where, value, account, response or ''}; nothing: there is no such delivery
--   'done'   value: the record of a finished one
--   'open'   value: "own value|state" of one that is parked; 'busy' of one being attempted;
--            'idle', 'held': the same while its webhook is paused
--   'own'    value: own value; 'wait' of one that nobody has begun, which is each that somebody
--            owns while its webhook is paused
local tag, w, n = ARGV[1], ARGV[2], ARGV[3]
local of_webhook = redis.call('HMGET', tag .. 'wh:' .. w, 'a', 'st')
local account, is_paused = of_webhook[1] or '', of_webhook[2] == 'paused'

-- Of the newest attempt that was answered well.
local function response()
    local slot = string.format('%.0f', tonumber(n) % 100)
    local kept = redis.call('HGET', tag .. 'resp:' .. w, slot) or ''
    local mine = n .. ' '
    return string.sub(kept, 1, #mine) == mine and string.sub(kept, #mine + 1) or ''
end

local done = redis.call('HGET', tag .. 'hist:' .. w, n) or redis.call('HGET', tag .. 'late:' .. w, n)
if done then
    return { 'done', done, account, response() }
end

local key = w .. ':' .. n
local open = redis.call('HGET', tag .. 'open:' .. w, n)
if open then
    local is_parked = redis.call('ZSCORE', tag .. 'retry', key)
    local where = is_parked and (is_paused and 'idle' or 'open') or (is_paused and 'held' or 'busy')
    return { where, open, account, response() }
end
for _, holder in ipairs(redis.call('HKEYS', tag .. 'inst')) do
    local value = redis.call('HGET', tag .. 'own:' .. holder, key)
    if value then
        return { is_paused and 'wait' or 'own', value, account, '' }
    end
end
for _, orphan in ipairs(redis.call('HKEYS', tag .. 'orphans')) do
    local value = redis.call('HGET', tag .. 'own:' .. orphan, key)
    if value then
        return { 'wait', value, account, '' }
    end
end
for _, queue in ipairs({ 'wait:', 'fill:' }) do
    local entry = redis.call('XRANGE', tag .. queue .. w, n .. '-0', n .. '-0')[1]
    if entry then
        local f = entry[2] -- c, cursor, s, stamp, a, account
        return { 'wait', '0:0:' .. f[4] .. ':' .. f[2] .. ':' .. f[6], account, '' }
    end
end
return false
