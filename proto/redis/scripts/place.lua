-- place: where one is in a feed, by the id of an entry; what scripts about feeds begin with; no
-- script by itself.

-- As text that sorts as ids do: both halves have up to 64 bits, more than a number holds here.
local function padded(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq
end

local function is_behind(a, b)
    return padded(a) > padded(b)
end

-- The end of a feed, where its newest events may have been trimmed too.
local function last_generated(feed)
    if redis.call('EXISTS', feed) == 0 then
        return '0-0'
    end
    local info = redis.call('XINFO', 'STREAM', feed)
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            return info[i + 1]
        end
    end
end

