-- Adds a session, and applies the cap.
-- ARGV: session ID, nonce, the time, the record without run ID and version, the record's idle deadline, the limit of
-- the cap (0 for no cap), '1' if the oldest sessions are revoked ('0' if the new session is refused), the texts before
-- and after the session ID in the event of a revocation, how many records more than the limit are read at most.
-- Returns the outcome, the run ID, and the sessions that were revoked.
local sid, nonce, now, body, deadline, limit, oldest, head, tail, crowd = unpack(ARGV)
now, deadline, limit = tonumber(now), tonumber(deadline), tonumber(limit)

local run = redis.call('GET', RUN)
if not run then return { 'no run' } end
local existing = find(sid)
if existing then
    if version_of(existing) ~= nonce then return { 'exists', run } end
    return kept_answer(nonce) or { 'created', run }
end

local count = redis.call('HLEN', LIVE)
local capped = limit > 0 and count >= limit
if capped and count > limit + crowd then return { 'crowded', run } end

-- If the cap is not reached, or there is none, checks up to four random sessions, so that expired ones are removed.
local others = {}
if capped then
    others = redis.call('HGETALL', LIVE)
elseif count > 0 then
    others = redis.call('HRANDFIELD', LIVE, -4, 'WITHVALUES')
end
local live, time = {}, server_time()
for i = 1, #others, 2 do
    local r = read(others[i + 1])
    if r and is_gone(r, run, time) then
        redis.call('HDEL', LIVE, others[i])
    elseif r and r.run == run and is_live(r, now) then
        table.insert(live, { sid = others[i], r = r })
    end
end

local answer = { 'created', run }
local excess = capped and #live + 1 - limit or 0
if excess > 0 then
    if oldest ~= '1' then return { 'too many', run } end
    table.sort(live, function(a, b)
        if a.r.created ~= b.r.created then return a.r.created < b.r.created end
        return a.sid < b.sid
    end)
    for i = 1, excess do
        revoke(live[i].sid, live[i].r, nonce)
        announce(head .. live[i].sid .. tail)
        table.insert(answer, live[i].sid)
    end
    keep_answer(nonce, answer)
end
put(sid, '2 ' .. run .. ' ' .. nonce .. ' ' .. body, deadline)
return answer
