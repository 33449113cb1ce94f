-- What the scripts share. KEYS[1] has the sessions of one subject: a hash from session ids to
-- records. A record is a line of numbers and three lines of JSON (static, proof, claims), of which
-- the scripts understand the numbers. All times are milliseconds, below 2^53, as is the generation.

-- Kept longer than needed by this much, since clocks differ.
local SLACK = 300000

local function num(n)
    return string.format('%.0f', n)
end

local function maybe(n)
    return n and num(n) or '-'
end

-- The record in a text; nothing if the text is not one.
local function read(text)
    if not text then return nil end
    local run, gen, confirmed, created, idle, deadline, absolute, revoked, stale, rest = string.match(
        text, '^1 (%x+) (%d+) ([%d-]+) (%d+) (%d+) (%d+) (%d+) ([%d-]+) ([%d-]+)\n(.*)$')
    if not run then return nil end
    return {
        run = run, gen = tonumber(gen), confirmed = tonumber(confirmed), created = tonumber(created),
        idle = tonumber(idle), deadline = tonumber(deadline), absolute = tonumber(absolute),
        revoked = tonumber(revoked), stale = tonumber(stale), rest = rest,
    }
end

local function write(r)
    return table.concat({
        '1', r.run, num(r.gen), maybe(r.confirmed), num(r.created), num(r.idle), num(r.deadline),
        num(r.absolute), maybe(r.revoked), maybe(r.stale) .. '\n' .. r.rest,
    }, ' ')
end

local function live(r, now)
    return not r.revoked and now < r.deadline and now < r.absolute
end

-- Counts as use: moves the idle deadline on. Whether it moved.
local function use(r, now)
    local deadline = math.min(now + r.idle, r.absolute)
    local moves = deadline > r.deadline
    if moves then r.deadline = deadline end
    return moves
end

-- The key stays as long as any of its sessions needs it.
local function keep_until(deadline)
    redis.call('PEXPIREAT', KEYS[1], num(deadline + SLACK), 'GT')
end

local function put(sid, r)
    local text = write(r)
    redis.call('HSET', KEYS[1], sid, text)
    keep_until(r.revoked and r.absolute or r.deadline)
    return text
end

-- Ends a session. The denylist needs no claims and no origin.
local function revoke(sid, r, now)
    r.revoked = now
    r.rest = '{}\n\nnull'
    put(sid, r)
end
