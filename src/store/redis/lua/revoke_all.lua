-- Ends the sessions of a subject. ARGV: only those that began before this (or '-'), time, but not
-- this one (or ''), how long ago a session was ended, at most, for everyone to be told once more.
-- Answers with how many records are unreadable, then with pairs of a session id, and the run of
-- the session if this call ended it.
local before, now, except, again = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local answer = { 0 }
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    local sid, r = all[i], read(all[i + 1])
    if not r then
        answer[1] = answer[1] + 1
    elseif sid ~= except and not (before and r.created >= before) then
        if not r.revoked then
            revoke(sid, r, now)
            table.insert(answer, sid)
            table.insert(answer, r.run)
        elseif r.revoked + again >= now then
            table.insert(answer, sid)
            table.insert(answer, '')
        end
    end
end
return answer
