-- Adds a session, and keeps the cap. ARGV: session id, time, record, the cap's limit (0 for none),
-- whether the oldest sessions end to make room ('1') or the new one is refused.
-- Answers with what came of it, and with the sessions that were ended.
local sid, now, text, limit, end_oldest =
    ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
if redis.call('HEXISTS', KEYS[1], sid) == 1 then return { 'exists' } end

local r = read(text)
local count = redis.call('HLEN', KEYS[1])
local answer = { 'created' }

-- Sweeping reads every record, so with many it is done now and then: at powers of two.
local _, exponent = math.frexp(count)
if count > 0 and (limit > 0 or count < 16 or count == 2 ^ (exponent - 1)) then
    local all = redis.call('HGETALL', KEYS[1])
    local others = {}
    for i = 1, #all, 2 do
        local other = read(all[i + 1])
        if other then
            local over = other.revoked and other.absolute or math.min(other.deadline, other.absolute)
            if now >= over + SLACK then
                redis.call('HDEL', KEYS[1], all[i])
            elseif other.run == r.run and live(other, now) then
                table.insert(others, { sid = all[i], r = other })
            end
        end
    end
    local excess = limit > 0 and #others + 1 - limit or 0
    if excess > 0 and not end_oldest then return { 'too many' } end
    table.sort(others, function(a, b)
        if a.r.created ~= b.r.created then return a.r.created < b.r.created end
        return a.sid < b.sid
    end)
    for i = 1, excess do
        revoke(others[i].sid, others[i].r, now)
        table.insert(answer, others[i].sid)
    end
end

redis.call('HSET', KEYS[1], sid, text)
if redis.call('PTTL', KEYS[1]) < 0 then
    redis.call('PEXPIREAT', KEYS[1], num(r.deadline + SLACK))
else
    keep_until(r.deadline)
end
return answer
