-- ack: a named consumer is done with some of its events, or with all up to a place; a full Redis
-- takes it, since it makes room.
--
-- Behind consuming.lua.
--
-- ARGV  from 6 on: 'ids', events' ids (those that are not out count for nothing)
--       or 'place', the place
-- Reply {'OK', acknowledged}
--       {'AGAIN', acknowledged}  a place far away: so many by now, ask again for the rest
--       {'NOT_FOUND'}, {'EXPIRED', the place from which nothing is missing}
local function out_by_ids(c)
    local members, seen = {}, {}
    for _, list in ipairs(redis.call('HMGET', c.ids, unpack(ARGV, 7))) do
        for member in string.gmatch(list or '', '[^,]+') do
            if not seen[member] then
                seen[member] = true
                members[#members + 1] = member
            end
        end
    end
    return members
end

local function out_up_to(c, entry)
    local members = {}
    for _, member in ipairs(redis.call('ZRANGE', c.out, 0, -1)) do
        if entry_of(member) <= entry then
            members[#members + 1] = member
        end
    end
    return members
end

-- On to a place that is further on, as far as one call goes.  Is it there now?
local function move(c, place)
    local to = padded(place)
    local is_there = to >= newest()
    if is_there then
        c.passed = redis.call('XLEN', feed)
    else
        walk(c.pos, FIRST_STEP, function(id)
            is_there = padded(id) > to
            if not is_there then
                c.pos, c.passed = id, c.passed + 1
            end
            return not is_there
        end)
    end
    if is_there then
        c.pos = place
    end
    return is_there
end

local c = find(name)
if not c.pos then
    return { 'NOT_FOUND' }
end
local place = ARGV[6] == 'place' and ARGV[7]
if place and is_expired(place) then
    return { 'EXPIRED', trimmed_id }
end
settle_gone(c)
local members = place and out_up_to(c, padded(place)) or out_by_ids(c)
take_out(c, members)
if not place or padded(place) <= padded(c.pos) then
    return { 'OK', #members }
end
local passed = c.passed
local is_there = move(c, place)
redis.call('HDEL', c.con, '-')
save(c)
return { is_there and 'OK' or 'AGAIN', #members + c.passed - passed }
