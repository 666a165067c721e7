-- accounts: the webhooks of some accounts, each account as one state.
--
-- KEYS  none
-- ARGV  tag, accounts ...
-- Reply for each account {version or '0', {w, stored, status, failures, last, disabled at,
--       reason, cursor}, ...}, deleted ones with a history among them
local tag = ARGV[1]
local reply = {}
for i = 2, #ARGV do
    local account = ARGV[i]
    local one = { redis.call('HGET', tag .. 'regv', account) or '0' }
    for _, list in ipairs({ 'acct:', 'acctd:' }) do
        for _, w in ipairs(redis.call('ZRANGE', tag .. list .. account, 0, -1)) do
            local f = redis.call('HMGET', tag .. 'wh:' .. w,
                'v', 'st', 'cf', 'last', 'da', 'dr', 'dc')
            one[#one + 1] = { w, f[1] or '', f[2] or '', f[3] or '0', f[4] or '0',
                f[5] or '0', f[6] or '', f[7] or '' }
        end
    end
    reply[#reply + 1] = one
end
return reply
