-- Changes one record. ARGV: session id, time, what the change needs.
-- Answers with whether it applied, and with the record as it then is.
local now = tonumber(ARGV[2])
local text = redis.call('HGET', KEYS[1], ARGV[1])
local r = read(text)
if r and live(r, now) and change(r, now) then
    return { 1, put(ARGV[1], r) }
end
return { 0, text }
