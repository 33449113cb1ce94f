-- Ends one session. ARGV: session id, time.
-- Answers with pairs of a session id, and the run of the session if this call ended it, as
-- `revoke_all` does.
local now = tonumber(ARGV[2])
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then return { 0 } end
local r = read(text)
if not r then return { 1 } end
if r.revoked then return { 0, ARGV[1], '' } end
revoke(ARGV[1], r, now)
return { 0, ARGV[1], r.run }
