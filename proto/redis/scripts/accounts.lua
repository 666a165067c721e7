-- accounts: the webhooks of some accounts, and what is in some books, each as one state.
--
-- KEYS  none
-- ARGV  tag, names ...; a book's begins with a full stop (".types" ...)
-- Reply for each account {version or '0', {w, stored, status, failures, last, disabled at,
--       reason, cursor, revision}, ...}, deleted ones with a history among them;
--       for each book {version or '0', key, stored, ...}
local tag = ARGV[1]
local reply = {}

local function add_webhooks(one, account)
    for _, list in ipairs({ 'acct:', 'acctd:' }) do
        for _, w in ipairs(redis.call('ZRANGE', tag .. list .. account, 0, -1)) do
            local f = redis.call('HMGET', tag .. 'wh:' .. w,
                'v', 'st', 'cf', 'last', 'da', 'dr', 'dc', 'rv')
            one[#one + 1] = { w, f[1] or '', f[2] or '', f[3] or '0', f[4] or '0',
                f[5] or '0', f[6] or '', f[7] or '', f[8] or '0' }
        end
    end
end

local function add_book(one, name)
    for _, text in ipairs(redis.call('HGETALL', tag .. string.sub(name, 2))) do
        one[#one + 1] = text
    end
end

for i = 2, #ARGV do
    local name = ARGV[i]
    local one = { redis.call('HGET', tag .. 'regv', name) or '0' }
    if string.sub(name, 1, 1) == '.' then
        add_book(one, name)
    else
        add_webhooks(one, name)
    end
    reply[i - 1] = one
end
return reply
