-- Raises the run ID, or sets it if there is none. ARGV: run ID, for how long to keep it in
-- milliseconds, the event for a raised run ID (or '': then an existing run ID is not raised).
-- Returns the resulting run ID. Run IDs have one length, so they compare as texts.
local to, kept_for, event = unpack(ARGV)
local run = redis.call('GET', RUN)
if run and (run >= to or event == '') then
    redis.call('PEXPIRE', RUN, kept_for)
    return run
end
redis.call('SET', RUN, to, 'PX', kept_for)
if event ~= '' then announce(event) end
return to
