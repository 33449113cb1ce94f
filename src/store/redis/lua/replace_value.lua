-- Writes or removes a value that belongs to no session. The key LIVE contains the value's version, expiry and bytes.
-- ARGV: the version that the value must have (zeros if the value must be missing), the next version, the time, the
-- value's expiry ('' to remove the value), the bytes as base64.
-- Returns whether the change applied, and the text that the key then has.
local version, nonce, at, ends, bytes = unpack(ARGV)
-- Keys are kept this many milliseconds (five minutes) longer than needed, because clocks differ.
local SLACK = 300000
local text = redis.call('GET', LIVE)
local found, until_time
if text then
    found, until_time = string.match(text, '^(%x+) (%d+) ')
    if not found then return { 0, text } end
    -- The call was repeated because its answer was lost.
    if found == nonce then return { 1, text } end
    if tonumber(until_time) <= tonumber(at) then found, text = nil, false end
end
if (found or '0000000000000000') ~= version then return { 0, text } end
if ends == '' then
    if found then redis.call('PEXPIREAT', LIVE, 1) end
    return { 1, false }
end
text = nonce .. ' ' .. ends .. ' ' .. bytes
redis.call('SET', LIVE, text, 'PXAT', num(tonumber(ends) + SLACK))
return { 1, text }
