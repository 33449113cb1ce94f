-- Writes a value that belongs to no session. LIVE has it: its version, when it ends, its bytes.
-- ARGV: the version that it must have (zeros if it must be missing), the next version, the time, when the value ends
-- ('' to remove it), the bytes as base64.
-- Answers: whether it applied, and the text that is there.
local version, nonce, at, ends, bytes = unpack(ARGV)
-- Keys are kept longer than needed by this much, since clocks differ.
local SLACK = 300000
local text = redis.call('GET', LIVE)
local found, until_time
if text then
    found, until_time = string.match(text, '^(%x+) (%d+) ')
    if not found then return { 0, text } end
    -- A call that is repeated since its answer was lost.
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
