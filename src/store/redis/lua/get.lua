-- Reads a record. ARGV: session ID.
-- Returns what each script about one record returns: whether the change applied, the record, the run ID.
return { 0, find(ARGV[1]), redis.call('GET', RUN) }
