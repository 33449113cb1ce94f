-- The part that all scripts share. FEED is a stream of events. Each entry has one field, 'e'.
local RUN, FEED, LIVE = KEYS[1], KEYS[2], KEYS[3]
-- About how many events the feed keeps, and for how many milliseconds (one day).
local KEPT, KEPT_FOR = 100000, 86400000
-- If a subject has more sessions than this, one event stands for a revocation of all (`FeedEvent::ONE_BY_ONE`).
local ONE_BY_ONE = 64

local function num(n)
    return string.format('%.0f', n)
end

-- The time of the server's clock, in milliseconds. This clock decides when keys expire.
local function server_time()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Removes entries that are too old from the feed, but at most 100 entries in one call.
local function trim()
    local cut = server_time() - KEPT_FOR
    local old = redis.call('XRANGE', FEED, '-', num(cut - 1), 'COUNT', 100)
    if #old > 0 then redis.call('XTRIM', FEED, 'MINID', #old < 100 and num(cut) or old[100][1]) end
end

-- Appends an event. The key of the feed expires if no event is appended for two days.
local function announce(event)
    redis.call('XADD', FEED, 'MAXLEN', '~', KEPT, '*', 'e', event)
    redis.call('PEXPIRE', FEED, KEPT_FOR * 2)
    trim()
end
