-- Rotates the refresh token of a session. ARGV: session ID, nonce, the generation to rotate from, the time.
local sid, nonce, from, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local run, text = redis.call('GET', RUN), redis.call('HGET', LIVE, sid)
local r = read(text)
if r and r.version == nonce then return { 1, text, run } end
if r and r.run == run and is_live(r, now) and r.gen == from
    and r.confirmed and r.confirmed + r.interval <= now then
    r.version, r.gen, r.confirmed, r.offered = nonce, r.gen + 1, nil, now
    r.deadline = math.max(r.deadline, math.min(now + r.idle, r.absolute))
    text = write(r)
    put(sid, text, r.deadline)
    return { 1, text, run }
end
return { 0, text or find(sid), run }
