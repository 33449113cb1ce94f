-- Reads a value that belongs to no session. Returns what `replace_value` returns.
return { 0, redis.call('GET', LIVE) }
