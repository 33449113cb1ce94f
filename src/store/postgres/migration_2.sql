-- Compare-and-set by version, the durations of each session, ordered run IDs, an index of live
-- sessions, and revocations of a subject as one event. The functions are in `functions.sql`.

ALTER TABLE {schema}.sliding_sessions
    ADD COLUMN version           bigint NOT NULL DEFAULT 0,
    ADD COLUMN offered_at        bigint NOT NULL DEFAULT 0,
    ADD COLUMN rotation_interval bigint NOT NULL DEFAULT 240000,
    ADD COLUMN timing            bytea;

-- What an operation on a subject reads. Revoked sessions of the same subject are not in it.
CREATE INDEX sliding_sessions_live ON {schema}.sliding_sessions (realm, subject) WHERE NOT revoked;

ALTER TABLE {schema}.sliding_sessions_feed ADD COLUMN began_before bigint;

-- The schema that the functions were made for.
ALTER TABLE {schema}.sliding_sessions_meta ADD COLUMN home text;

-- The run IDs of the first version were random. Its sessions go on, under one that is ordered by time.
UPDATE {schema}.sliding_sessions SET run = {run} WHERE run = (SELECT run FROM {schema}.sliding_sessions_meta);
UPDATE {schema}.sliding_sessions_meta SET run = {run};
DELETE FROM {schema}.sliding_sessions_feed WHERE kind = 4;

-- Instances of the first version must stop, because they do not change the version of a record.
DROP TYPE IF EXISTS {schema}.sliding_sessions_snapshot_v1 CASCADE;
DROP FUNCTION IF EXISTS {schema}.sliding_sessions_create_v1;
DROP FUNCTION IF EXISTS {schema}.sliding_sessions_end_v1;
DROP FUNCTION IF EXISTS {schema}.sliding_sessions_end_all_v1;
DROP FUNCTION IF EXISTS {schema}.sliding_sessions_publish_v1;
DROP FUNCTION IF EXISTS {schema}.sliding_sessions_rotate_v1;
