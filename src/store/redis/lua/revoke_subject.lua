-- Revokes some of the sessions of a subject.
-- ARGV: nonce, the cursor ('0' at first), the time before which the sessions began (or '-' for all), a session that is
-- not revoked (or ''), how many sessions were revoked so far, whether one event stands for all sessions ('1', '0', or
-- '' if this script decides), this event, the time in this event, the texts before and after the session ID in the
-- event of a revocation.
-- Returns the run ID, how many records are unreadable, the next cursor ('0' at the end), whether one event stands for
-- all sessions, and the sessions that this call revoked.
local nonce, cursor, before, except, so_far, together, event, covered, head, tail = unpack(ARGV)
before, covered = tonumber(before), tonumber(covered)
local again = kept_answer(nonce)
if again then return again end

if together == '' then together = redis.call('HLEN', LIVE) > ONE_BY_ONE and '1' or '0' end
local run = redis.call('GET', RUN)
local page = redis.call('HSCAN', LIVE, cursor, 'COUNT', 50)
local answer = { run or '', '0', page[1], together }
local unreadable = 0
for i = 1, #page[2], 2 do
    local sid = page[2][i]
    local r = read(page[2][i + 1])
    if not r then
        unreadable = unreadable + 1
    elseif r.run == run and sid ~= except and not (before and r.created >= before) then
        revoke(sid, r, nonce)
        table.insert(answer, sid)
        -- The event for all does not cover a session that began after the time in this event, by a clock that is ahead.
        if together == '0' or r.created >= covered then announce(head .. sid .. tail) end
    end
end
answer[2] = num(unreadable)
-- Appends the event with the first revoked sessions, and again with the last page: an instance that asks the store
-- because of the first event may ask before all sessions are revoked.
local some = #answer > 4
local last = page[1] == '0' and (some or so_far ~= '0')
if together == '1' and (some and so_far == '0' or last) then announce(event) end
if some or last then keep_answer(nonce, answer) end
return answer
