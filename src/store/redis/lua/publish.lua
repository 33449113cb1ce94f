-- Appends an event to the feed. ARGV: the event.
announce(ARGV[1])
return 1
