-- Notes that a generation was seen in use, for the first time.
local function change(r, now)
    if r.gen ~= tonumber(ARGV[3]) or r.confirmed then return false end
    r.confirmed = now
    use(r, now)
    return true
end
