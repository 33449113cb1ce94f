-- Reads some of the live records of a subject, and removes records that have expired. ARGV: the cursor ('0' at first).
-- Returns the next cursor ('0' at the end), the run ID, and pairs of a session ID and a record.
local run, time = redis.call('GET', RUN), server_time()
local page = redis.call('HSCAN', LIVE, ARGV[1], 'COUNT', 100)
for i = 1, #page[2], 2 do
    local r = read(page[2][i + 1])
    if r and is_gone(r, run, time) then redis.call('HDEL', LIVE, page[2][i]) end
end
return { page[1], run, page[2] }
