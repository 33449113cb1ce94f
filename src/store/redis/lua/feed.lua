-- What all scripts share. FEED is a stream of events; an entry has one field, 'e'.
local RUN, FEED, LIVE = KEYS[1], KEYS[2], KEYS[3]
-- How many events the feed keeps, about; and for how long, in milliseconds.
local KEPT, KEPT_FOR = 100000, 86400000
-- More revoked sessions of one subject than this are one event (`FeedEvent::ONE_BY_ONE`).
local ONE_BY_ONE = 64

local function num(n)
    return string.format('%.0f', n)
end

-- The time by the server's clock, by which keys live.
local function server_time()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Removes what is too old from the feed, a bounded number at once.
local function trim()
    local cut = server_time() - KEPT_FOR
    local old = redis.call('XRANGE', FEED, '-', num(cut - 1), 'COUNT', 100)
    if #old > 0 then redis.call('XTRIM', FEED, 'MINID', #old < 100 and num(cut) or old[100][1]) end
end

-- Appends an event. The key of the feed expires, too, if no event comes.
local function announce(event)
    redis.call('XADD', FEED, 'MAXLEN', '~', KEPT, '*', 'e', event)
    redis.call('PEXPIRE', FEED, KEPT_FOR * 2)
    trim()
end
