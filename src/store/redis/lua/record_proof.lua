-- Replaces the later proof of sign-in, the second line.
local function change(r)
    local static, claims = string.match(r.rest, '^([^\n]*)\n[^\n]*\n(.*)$')
    if not static then return false end
    r.rest = static .. '\n' .. ARGV[3] .. '\n' .. claims
    return true
end
