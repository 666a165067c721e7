-- enqueue: events that came by the API go into the ingress stream, all or none; the answer to
-- the request is written here and kept under its once key.
--
-- KEYS  <tag>inst, the ingress stream
-- ARGV  tag, id, epoch, once key ('' for none), what is kept in front of the answer, for so many
--       ms, then for each event: its id or '', how many values follow, fields and values ...
-- Reply {'DONE', answer}; {'ONCE', what is kept under the once key}
local tag, me, epoch = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], me)
if not known or tonumber(known) > tonumber(epoch) then
    return redis.error_reply('FENCED this instance was taken over')
end
local events = KEYS[2]
local once = ARGV[4] ~= '' and tag .. 'once:' .. ARGV[4]
local kept = once and redis.call('GET', once)
if kept then
    return { 'ONCE', kept }
end

-- The 13 base32 digits of a 64-bit number in decimal (rules/id.c has the same).  A double is
-- exact to 2^53 only: so ten decimal digits and ten.
local alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
local function word(decimal)
    local high, low = tonumber(string.sub(decimal, 1, -11)) or 0, tonumber(string.sub(decimal, -10))
    local digits = {}
    for i = 13, 1, -1 do
        local rest = high % 32
        high, low = (high - rest) / 32, rest * 1e10 + low
        rest = low % 32
        low = (low - rest) / 32
        digits[i] = string.sub(alphabet, rest + 1, rest + 1)
    end
    return table.concat(digits)
end

local last_ms, last_word -- of the entry before: nearly always the same millisecond
local function event_id(entry)
    local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
    if ms ~= last_ms then
        last_ms, last_word = ms, word(ms)
    end
    return 'evt_' .. last_word .. word(seq)
end

local entries, shown = {}, {}
local at = 7
while at < #ARGV do
    local id, n = ARGV[at], tonumber(ARGV[at + 1])
    local entry = redis.pcall('XADD', events, '*', unpack(ARGV, at + 2, at + 1 + n))
    if type(entry) == 'table' then
        -- Full, or no ids are left behind one that a producer chose: none is there then.
        if #entries > 0 then
            redis.call('XDEL', events, unpack(entries))
        end
        return entry
    end
    entries[#entries + 1] = entry
    shown[#shown + 1] = '{"id":"' .. (id ~= '' and id or event_id(entry)) .. '"}'
    at = at + 2 + n
end
local answer = '{"data":[' .. table.concat(shown, ',') .. ']}\n'
if once then
    redis.call('SET', once, ARGV[5] .. answer, 'PX', ARGV[6])
end
return { 'DONE', answer }
