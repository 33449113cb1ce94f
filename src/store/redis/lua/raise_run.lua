-- Raises the run ID, or sets it if there is none.
-- ARGV: the run ID, for how many milliseconds to keep it, the event for a raised run ID. If the event is '', an
-- existing run ID is not raised.
-- Returns the resulting run ID. All run IDs have the same length, so they can be compared as texts.
local to, kept_for, event = unpack(ARGV)
local run = redis.call('GET', RUN)
if run and (run >= to or event == '') then
    redis.call('PEXPIRE', RUN, kept_for)
    return run
end
redis.call('SET', RUN, to, 'PX', kept_for)
if event ~= '' then announce(event) end
return to
