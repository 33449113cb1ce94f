-- Describes the feed. ARGV: for how long it may be silent, in milliseconds.
-- Returns the answer of XINFO, and the run ID. A replica refuses a script that may write, so none
-- is followed.
--
-- If the feed was silent for long, it gets an entry without content. So the position of a reader that
-- keeps up is never removed because of its age. A user who may only read does not add such entries.
if redis.acl_check_cmd('XADD', FEED, '*', 'e', '"tick"') then
    local last = redis.call('XREVRANGE', FEED, '+', '-', 'COUNT', 1)[1]
    local time = last and tonumber(string.match(last[1], '^%d+')) or 0
    if time + tonumber(ARGV[1]) < server_time() then announce('"tick"') else trim() end
end
return { redis.call('XINFO', 'STREAM', FEED), redis.call('GET', RUN) }
