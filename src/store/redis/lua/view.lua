-- What the feed is. ARGV: for how long it may be silent, in milliseconds.
-- Answers with what XINFO says, and the run ID. A replica refuses a script that may write, so none
-- is followed.
--
-- A feed that is silent for long gets an entry that says nothing. So a reader that keeps up never
-- stands before what is removed for its age. A user who may only read leaves that to others.
if redis.acl_check_cmd('XADD', FEED, '*', 'e', '"tick"') then
    local last = redis.call('XREVRANGE', FEED, '+', '-', 'COUNT', 1)[1]
    local time = last and tonumber(string.match(last[1], '^%d+')) or 0
    if time + tonumber(ARGV[1]) < server_time() then announce('"tick"') else trim() end
end
return { redis.call('XINFO', 'STREAM', FEED), redis.call('GET', RUN) }
