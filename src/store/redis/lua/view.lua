-- Describes the feed. ARGV: the longest time without an entry in the feed, in milliseconds.
-- Returns the answer of XINFO, and the run ID. A replica refuses a script that may write, so no reader follows the feed
-- of a replica.
--
-- If the feed had no entry for longer than this time, the script appends an entry without content. So the position of a
-- reader that keeps up is never removed because of its age. For a user without the right to write, the script appends
-- nothing.
if redis.acl_check_cmd('XADD', FEED, '*', 'e', '"tick"') then
    local last = redis.call('XREVRANGE', FEED, '+', '-', 'COUNT', 1)[1]
    local time = last and tonumber(string.match(last[1], '^%d+')) or 0
    if time + tonumber(ARGV[1]) < server_time() then announce('"tick"') else trim() end
end
return { redis.call('XINFO', 'STREAM', FEED), redis.call('GET', RUN) }
