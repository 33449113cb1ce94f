-- Revokes sessions by their IDs. ARGV: nonce, one event for all sessions (or ''), the texts before and after the
-- session ID in the event of a revocation, the session IDs.
-- Returns what `revoke_subject` returns.
local nonce, event, head, tail = unpack(ARGV, 1, 4)
local run = redis.call('GET', RUN)
local answer = { run or '', '0', '0', '0' }
local unreadable = 0
for i = 5, #ARGV do
    local sid = ARGV[i]
    local text = redis.call('HGET', LIVE, sid)
    local r = read(text)
    if r and r.run == run then
        revoke(sid, r, nonce)
        if event == '' then announce(head .. sid .. tail) end
        table.insert(answer, sid)
    elseif text and not r then
        unreadable = unreadable + 1
    elseif not text and version_of(redis.call('GET', revoked_key(sid))) == nonce then
        table.insert(answer, sid)
    end
end
if event ~= '' and #answer > 4 then announce(event) end
answer[2] = num(unreadable)
return answer
