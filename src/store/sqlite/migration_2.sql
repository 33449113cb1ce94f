-- Compare-and-set by version, the durations of each session, ordered run IDs, an index of live
-- sessions, and revocations of a subject as one event.

ALTER TABLE sliding_sessions ADD COLUMN version           INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sliding_sessions ADD COLUMN offered_at        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sliding_sessions ADD COLUMN rotation_interval INTEGER NOT NULL DEFAULT 240000;
ALTER TABLE sliding_sessions ADD COLUMN timing            BLOB;

-- What an operation on a subject reads. Revoked sessions of the same subject are not in it.
CREATE INDEX sliding_sessions_live ON sliding_sessions (realm, subject) WHERE NOT revoked;

ALTER TABLE sliding_sessions_feed ADD COLUMN began_before INTEGER;

-- The run IDs of the first version were random. Its sessions go on, under one that is ordered by time.
UPDATE sliding_sessions SET run = {run} WHERE run = (SELECT run FROM sliding_sessions_meta);
UPDATE sliding_sessions_meta SET run = {run};
DELETE FROM sliding_sessions_feed WHERE kind = 4;
