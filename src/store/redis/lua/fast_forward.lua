-- Catches up with a generation that a failover forgot.
local function change(r, now)
    local to = tonumber(ARGV[3])
    if r.gen >= to then return false end
    r.gen = to
    r.confirmed = now
    use(r, now)
    return true
end
