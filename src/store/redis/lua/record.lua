-- What the scripts about sessions share.
--
-- LIVE has the live sessions of one subject: a hash from session ID to record. A revoked session is a
-- key of its own. So revoked sessions do not slow down operations on live ones, and Redis removes
-- each when it expires.
--
-- A record is a line of numbers, which the scripts read, then a line of JSON and the claims, which
-- they do not read. A revoked session keeps the line of numbers only. All times and durations
-- are milliseconds, below 2^53, as is the generation.
--
-- Each call carries a nonce, and a record that it writes has that as its version. So a call that is
-- repeated since its answer was lost is recognised.

-- Keys are kept longer than needed by this much, since clocks differ.
local SLACK = 300000

-- The record in a text; nothing if the text is not one.
local function read(text)
    if not text then return nil end
    local run, version, gen, confirmed, offered, idle, deadline, absolute, created, interval, rest =
        string.match(text, '^2 (%x+) (%x+) (%d+) ([%d-]+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
    if not run then return nil end
    return {
        run = run, version = version, gen = tonumber(gen), confirmed = tonumber(confirmed),
        offered = tonumber(offered), idle = tonumber(idle), deadline = tonumber(deadline),
        absolute = tonumber(absolute), created = tonumber(created), interval = tonumber(interval),
        rest = rest,
    }
end

local function write(r)
    return table.concat({
        '2', r.run, r.version, num(r.gen), r.confirmed and num(r.confirmed) or '-', num(r.offered),
        num(r.idle), num(r.deadline), num(r.absolute), num(r.created), num(r.interval) .. r.rest,
    }, ' ')
end

local function version_of(text)
    return text and string.match(text, '^2 %x+ (%x+) ')
end

local function is_live(r, now)
    return now < r.deadline and now < r.absolute
end

-- Whether no clock can say that it is still live. Then it may be removed.
local function is_gone(r, run, time)
    return not is_live(r, time - SLACK) or run and r.run < run
end

-- Writes a live record. Its key stays as long as any of the subject's sessions needs it.
local function put(sid, text, deadline)
    local is_first = redis.call('EXISTS', LIVE) == 0
    redis.call('HSET', LIVE, sid, text)
    if is_first then
        redis.call('PEXPIREAT', LIVE, num(deadline + SLACK))
    else
        redis.call('PEXPIREAT', LIVE, num(deadline + SLACK), 'GT')
    end
end

local function revoked_key(sid)
    return LIVE .. ':' .. sid
end

-- Revokes a live session.
local function revoke(sid, r, nonce)
    r.version = nonce
    r.rest = string.match(r.rest, '^[^\n]*')
    -- First: in a cluster, a new key is refused while the slot moves, and that ends the script.
    redis.call('SET', revoked_key(sid), write(r), 'PXAT', num(r.absolute + SLACK))
    redis.call('HDEL', LIVE, sid)
end

-- The record of a session as text, revoked or not.
local function find(sid)
    return redis.call('HGET', LIVE, sid) or redis.call('GET', revoked_key(sid))
end

-- Keeps what a call answered with for as long as it may be repeated.
local function keep_answer(nonce, answer)
    redis.call('SET', LIVE .. ':answer:' .. nonce, cmsgpack.pack(answer), 'PX', 30000)
end

local function kept_answer(nonce)
    local answer = redis.call('GET', LIVE .. ':answer:' .. nonce)
    return answer and cmsgpack.unpack(answer)
end
