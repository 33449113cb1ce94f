-- Reads a value that belongs to no session. Answers as `replace_value` does.
return { 0, redis.call('GET', LIVE) }
