-- The part that the scripts about sessions share.
--
-- LIVE contains the live sessions of one subject: a hash from session ID to record. Each revoked session has a
-- separate key. So revoked sessions do not slow down operations on live sessions, and Redis removes each revoked
-- session when its key expires.
--
-- A record is a line of numbers, a line of JSON, and the claims. The scripts read only the line of numbers. The record
-- of a revoked session has only the line of numbers. All times and durations are in milliseconds. Times, durations and
-- the generation are at most 2^53.
--
-- Each call carries a nonce. The nonce becomes the version of a record that the call writes. So the scripts recognise
-- a call that is repeated because its answer was lost.

-- Keys are kept this many milliseconds (five minutes) longer than needed, because clocks differ.
local SLACK = 300000

-- Reads the record in a text. Returns nil if the text is not a record.
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

-- Whether a record may be removed: it is no longer live by any clock, or it belongs to an older run ID.
local function is_gone(r, run, time)
    return not is_live(r, time - SLACK) or run and r.run < run
end

-- Writes a live record. The key LIVE stays as long as any session of the subject needs it.
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
    -- SET comes first: in a cluster, a new key is refused while the slot moves, and the error ends the script.
    redis.call('SET', revoked_key(sid), write(r), 'PXAT', num(r.absolute + SLACK))
    redis.call('HDEL', LIVE, sid)
end

-- The text of the record of a session, live or revoked.
local function find(sid)
    return redis.call('HGET', LIVE, sid) or redis.call('GET', revoked_key(sid))
end

-- Keeps the answer of a call for 30 seconds, in case the call is repeated.
local function keep_answer(nonce, answer)
    redis.call('SET', LIVE .. ':answer:' .. nonce, cmsgpack.pack(answer), 'PX', 30000)
end

local function kept_answer(nonce)
    local answer = redis.call('GET', LIVE .. ':answer:' .. nonce)
    return answer and cmsgpack.unpack(answer)
end
