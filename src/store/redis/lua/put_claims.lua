-- Replaces the claims, the third line and all that follows.
local function change(r, now)
    local before = string.match(r.rest, '^([^\n]*\n[^\n]*\n)')
    if not before then return false end
    r.rest = before .. ARGV[3]
    r.stale = math.max(r.stale or 0, now)
    return true
end
