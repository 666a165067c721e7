-- outstanding: what a named consumer has out, oldest first.
--
-- Behind consuming.lua.
--
-- ARGV  from 6 on: what may be seen and how many events (begin_page), the place behind which
-- Reply {'OK', 1 if there is more, then for each event: id, record}; {'NOT_FOUND'}
local page, at = begin_page(6)
local behind, members = padded(ARGV[at]), {}
local c = find(name)
if not c.pos then
    return { 'NOT_FOUND' }
end
for _, member in ipairs(redis.call('ZRANGE', c.out, 0, -1)) do
    if entry_of(member) > behind then
        members[#members + 1] = member
    end
end
table.sort(members)
show_out(page, members)
return page.reply
