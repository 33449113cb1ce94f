-- Replaces a record. ARGV: session ID, nonce, the version that the stored record must have, the new record without run
-- ID and version, the new record's idle deadline, an event for the feed (or '').
local sid, nonce, version, body, deadline, event = unpack(ARGV)
local run, text = redis.call('GET', RUN), redis.call('HGET', LIVE, sid)
local r = read(text)
if r and r.version == nonce then return { 1, text, run } end
if r and r.run == run and r.version == version then
    text = '2 ' .. run .. ' ' .. nonce .. ' ' .. body
    put(sid, text, tonumber(deadline))
    if event ~= '' then announce(event) end
    return { 1, text, run }
end
return { 0, text or find(sid), run }
