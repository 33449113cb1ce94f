-- Counts as use.
local function change(r, now)
    return use(r, now)
end
