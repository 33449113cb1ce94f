-- One generation further, provisional, if at this one and confirmed by then.
local function change(r, now)
    if r.gen ~= tonumber(ARGV[3]) or not r.confirmed or r.confirmed > tonumber(ARGV[4]) then
        return false
    end
    r.gen = r.gen + 1
    r.confirmed = nil
    use(r, now)
    return true
end
