-- Reads a record. ARGV: session ID.
-- Answers as each script about one record does: whether it applied, the record, the run ID.
return { 0, find(ARGV[1]), redis.call('GET', RUN) }
