-- Reads some of the live records of a subject. ARGV: where to go on.
-- Answers with where to go on ('0' at the end), the run ID, and pairs of a session ID and a record.
local page = redis.call('HSCAN', LIVE, ARGV[1], 'COUNT', 100)
return { page[1], redis.call('GET', RUN), page[2] }
