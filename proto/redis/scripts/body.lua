-- body: the record of an event, from where it is kept.
--
-- ARGV  tag, w, n, account, cursor
-- Reply {record or '', traceparent or ''}
local tag = ARGV[1]
local entry = ARGV[5] ~= '0-0' and
    redis.call('XRANGE', tag .. 'led:' .. ARGV[4], ARGV[5], ARGV[5])[1]
if entry then
    local f = entry[2] -- r, record, d, deliveries, p, traceparent
    return { f[2], f[6] or '' }
end
local body = redis.call('GET', tag .. 'body:' .. ARGV[2] .. ':' .. ARGV[3])
if not body then
    return { '', '' }
end
if string.sub(body, 1, 1) == '{' then
    return { body, '' }
end
-- One that was moved out of the ledger has its traceparent in a line in front.
local line = string.find(body, '\n', 1, true)
return { string.sub(body, line + 1), string.sub(body, 1, line - 1) }
