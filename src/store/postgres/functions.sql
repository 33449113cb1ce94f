-- One function for each operation. They name their schema (`{schema}`), so they do not depend on the
-- connection's `search_path`. They hold no rules: they compare, write and answer.
--
-- The first argument of each, `p_call`, says which operation the caller means. A pooler that shares
-- prepared statements between clients can deliver the arguments of one operation to the statement
-- of another. The function then fails before it reads or writes anything.
--
-- Names carry a version. A later version adds functions under new names, so that instances of both
-- versions run side by side during a deployment.

-- Fails unless `p_call` names this operation of this schema, and unless the server takes writes. A
-- standby, or a former primary that is read-only, does not know the latest revocations.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_check_v3(p_call bytea, p_operation text)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_call IS DISTINCT FROM decode('00ff', 'hex') || convert_to(p_operation || ' {home}', 'UTF8') THEN
        RAISE EXCEPTION 'the operation % was called with the arguments of another', p_operation
            USING ERRCODE = 'TS001';
    END IF;
    IF pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'the server is read-only: a standby, or a former primary'
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    RETURN true;
END
$$;

-- What operations on one session return: the run ID, and the session's record if it has that run ID.
DROP TYPE IF EXISTS {schema}.sliding_sessions_snapshot_v3 CASCADE;
CREATE TYPE {schema}.sliding_sessions_snapshot_v3 AS (
    applied boolean, run bigint, version bigint,
    id bytea, generation bigint, confirmed_at bigint, created_at bigint, offered_at bigint,
    idle_timeout bigint, idle_deadline bigint, absolute_deadline bigint, rotation_interval bigint,
    timing bytea, revoked boolean, claims bytea, stale_since bigint, methods bytea, proof bytea,
    origin bytea, persistent boolean, attached bytea
);

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_record_v3(
    p_applied boolean, p_realm bytea, p_subject bytea, p_id bytea
) RETURNS SETOF {schema}.sliding_sessions_snapshot_v3 LANGUAGE sql STABLE AS $$
    SELECT p_applied, meta.run, s.version,
        s.id, s.generation, s.confirmed_at, s.created_at, s.offered_at,
        s.idle_timeout, s.idle_deadline, s.absolute_deadline, s.rotation_interval,
        s.timing, s.revoked, s.claims, s.stale_since, s.methods, s.proof,
        s.origin, s.persistent, s.attached
    FROM {schema}.sliding_sessions_meta AS meta
    LEFT JOIN {schema}.sliding_sessions AS s
        ON s.realm = p_realm AND s.subject = p_subject AND s.id = p_id AND s.run = meta.run
$$;

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_get_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_id bytea
) RETURNS SETOF {schema}.sliding_sessions_snapshot_v3 LANGUAGE sql STABLE AS $$
    SELECT s.* FROM {schema}.sliding_sessions_record_v3(false, p_realm, p_subject, p_id) AS s
    WHERE {schema}.sliding_sessions_check_v3(p_call, 'get')
$$;

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_list_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_now bigint
) RETURNS SETOF {schema}.sliding_sessions_snapshot_v3 LANGUAGE sql STABLE AS $$
    SELECT false, s.run, s.version,
        s.id, s.generation, s.confirmed_at, s.created_at, s.offered_at,
        s.idle_timeout, s.idle_deadline, s.absolute_deadline, s.rotation_interval,
        s.timing, s.revoked, s.claims, s.stale_since, s.methods, s.proof,
        s.origin, s.persistent, s.attached
    FROM {schema}.sliding_sessions AS s
    WHERE {schema}.sliding_sessions_check_v3(p_call, 'list')
        AND s.realm = p_realm AND s.subject = p_subject AND NOT s.revoked
        AND s.run = (SELECT meta.run FROM {schema}.sliding_sessions_meta AS meta)
        AND p_now < s.idle_deadline AND p_now < s.absolute_deadline
    ORDER BY s.created_at, s.id
$$;

-- Adds events to the feed: the last thing that a transaction does.
--
-- Readers read in the order of seq, so rows must be committed in this order. The lock ensures that: it is held from
-- before the number is drawn until the transaction has committed. It is the feed's own, so the
-- transactions of others do not hold the feed up.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_publish_v3(
    p_kind bigint, p_at bigint, p_realm bytea, p_subject bytea, p_ids bytea[], p_began_before bigint
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_mark bigint := (random() * 9007199254740991)::bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(
        1936487021, ('{schema}.sliding_sessions_feed'::regclass)::oid::integer
    );
    INSERT INTO {schema}.sliding_sessions_feed (mark, kind, at, realm, subject, id, began_before)
    SELECT v_mark, p_kind, p_at, p_realm, p_subject, ids.id, p_began_before
    FROM unnest(p_ids) WITH ORDINALITY AS ids (id, place) ORDER BY ids.place;
END
$$;

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_mark_v3(
    p_call bytea, p_kind bigint, p_at bigint, p_realm bytea, p_subject bytea, p_id bytea
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'mark');
    PERFORM {schema}.sliding_sessions_publish_v3(p_kind, p_at, p_realm, p_subject, ARRAY[p_id], NULL);
    RETURN true;
END
$$;

-- Statements about one session say `CASE WHEN s.revoked …` and not `NOT s.revoked`. Otherwise the planner may take the
-- index of live sessions, which has no ID, and read all sessions of the subject.

-- The next two change a record and answer with it as it then is. Within a VOLATILE function, each
-- statement sees what was committed before that statement. UPDATE waits for a transaction that is
-- changing the row, and then checks the row as that transaction left it. Later statements see at least as much.
-- So the loser of a race gets the winner's record. If UPDATE finds nothing to do, nothing is written.

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_advance_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_id bytea, p_from bigint, p_at bigint
) RETURNS SETOF {schema}.sliding_sessions_snapshot_v3 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'advance');
    UPDATE {schema}.sliding_sessions AS s
    SET generation = s.generation + 1,
        confirmed_at = NULL,
        offered_at = p_at,
        idle_deadline = GREATEST(s.idle_deadline, LEAST(p_at + s.idle_timeout, s.absolute_deadline)),
        version = s.version + 1 + (random() * 1000000)::bigint
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND s.run = (SELECT meta.run FROM {schema}.sliding_sessions_meta AS meta)
        AND CASE WHEN s.revoked THEN false ELSE p_at < s.idle_deadline AND p_at < s.absolute_deadline END
        AND s.generation = p_from AND s.confirmed_at <= p_at - s.rotation_interval;
    RETURN QUERY SELECT * FROM {schema}.sliding_sessions_record_v3(FOUND, p_realm, p_subject, p_id);
END
$$;

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_replace_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_version bigint, p_kind bigint, p_at bigint,
    p_id bytea, p_generation bigint, p_confirmed_at bigint, p_created_at bigint, p_offered_at bigint,
    p_idle_timeout bigint, p_idle_deadline bigint, p_absolute_deadline bigint,
    p_rotation_interval bigint, p_timing bytea, p_revoked boolean, p_claims bytea,
    p_stale_since bigint, p_methods bytea, p_proof bytea, p_origin bytea, p_persistent boolean,
    p_attached bytea
) RETURNS SETOF {schema}.sliding_sessions_snapshot_v3 LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_applied boolean;
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'replace');
    UPDATE {schema}.sliding_sessions AS s
    SET generation = p_generation, confirmed_at = p_confirmed_at, offered_at = p_offered_at,
        idle_timeout = p_idle_timeout, idle_deadline = p_idle_deadline,
        absolute_deadline = p_absolute_deadline, rotation_interval = p_rotation_interval,
        timing = p_timing, claims = p_claims, stale_since = p_stale_since, methods = p_methods,
        proof = p_proof, origin = p_origin, persistent = p_persistent, attached = p_attached,
        version = s.version + 1 + (random() * 1000000)::bigint
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND s.run = (SELECT meta.run FROM {schema}.sliding_sessions_meta AS meta)
        AND CASE WHEN s.revoked THEN false ELSE s.version = p_version END;
    v_applied := FOUND;
    IF v_applied AND p_kind IS NOT NULL THEN
        PERFORM {schema}.sliding_sessions_publish_v3(p_kind, p_at, p_realm, p_subject, ARRAY[p_id], NULL);
    END IF;
    RETURN QUERY SELECT * FROM {schema}.sliding_sessions_record_v3(v_applied, p_realm, p_subject, p_id);
END
$$;

-- Adds a session: o_outcome is 0 if it did, 1 if the ID exists, 2 if there are too many. A cap is
-- kept under a lock on the subject (p_lock), because sessions that are created at once have no row
-- in common.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_create_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_limit bigint, p_refuse boolean, p_lock bigint,
    p_kind bigint,
    p_id bytea, p_generation bigint, p_confirmed_at bigint, p_created_at bigint, p_offered_at bigint,
    p_idle_timeout bigint, p_idle_deadline bigint, p_absolute_deadline bigint,
    p_rotation_interval bigint, p_timing bytea, p_revoked boolean, p_claims bytea,
    p_stale_since bigint, p_methods bytea, p_proof bytea, p_origin bytea, p_persistent boolean,
    p_attached bytea,
    OUT o_outcome bigint, OUT o_run bigint, OUT o_revoked bytea[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_excess bigint := 0;
    v_id bytea;
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'create');
    o_outcome := 0;
    o_revoked := '{}';
    IF p_limit IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(p_lock);
    END IF;
    SELECT meta.run INTO STRICT o_run FROM {schema}.sliding_sessions_meta AS meta;
    IF EXISTS (
        SELECT 1 FROM {schema}.sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
    ) THEN
        o_outcome := 1;
        RETURN;
    END IF;
    IF p_limit IS NOT NULL THEN
        SELECT count(*) + 1 - p_limit INTO v_excess FROM {schema}.sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.run = o_run AND NOT s.revoked
            AND p_created_at < s.idle_deadline AND p_created_at < s.absolute_deadline;
        IF v_excess > 0 AND p_refuse THEN
            o_outcome := 2;
            RETURN;
        END IF;
    END IF;
    INSERT INTO {schema}.sliding_sessions (
        realm, subject, run, version, id, generation, confirmed_at, created_at, offered_at,
        idle_timeout, idle_deadline, absolute_deadline, rotation_interval, timing, revoked, claims,
        stale_since, methods, proof, origin, persistent, attached
    ) VALUES (
        p_realm, p_subject, o_run, (random() * 1000000)::bigint, p_id, p_generation, p_confirmed_at,
        p_created_at, p_offered_at, p_idle_timeout, p_idle_deadline, p_absolute_deadline,
        p_rotation_interval, p_timing, p_revoked, p_claims, p_stale_since, p_methods, p_proof,
        p_origin, p_persistent, p_attached
    ) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        o_outcome := 1;
        RETURN;
    END IF;
    IF v_excess > 0 THEN
        -- One by one, by the primary key. A join with the oldest would read the revoked ones as well.
        FOR v_id IN
            SELECT s.id FROM {schema}.sliding_sessions AS s
            WHERE s.realm = p_realm AND s.subject = p_subject AND s.run = o_run AND s.id <> p_id
                AND NOT s.revoked
                AND p_created_at < s.idle_deadline AND p_created_at < s.absolute_deadline
            ORDER BY s.created_at, s.id LIMIT v_excess
        LOOP
            UPDATE {schema}.sliding_sessions AS s
            SET revoked = true, claims = 'null', origin = NULL, attached = NULL,
                version = s.version + 1 + (random() * 1000000)::bigint
            WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = v_id
                AND CASE WHEN s.revoked THEN false ELSE true END;
            IF FOUND THEN
                o_revoked := o_revoked || v_id;
            END IF;
        END LOOP;
        PERFORM {schema}.sliding_sessions_publish_v3(
            p_kind, p_created_at, p_realm, p_subject, o_revoked, NULL
        );
    END IF;
END
$$;

-- The next three acknowledge a revocation. If another call has done the work already, its commit may not have reached
-- the synchronous replicas: a call whose connection was ended while it waited for them leaves its writes visible. So
-- they lock a row that it wrote. That is written to the log, so this commit waits for the replicas, and for all that was
-- logged before.

-- Revokes one session. One that is revoked already gets no second event: the transaction that revoked it has added one.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_revoke_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_id bytea, p_at bigint, p_kind bigint
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'revoke');
    UPDATE {schema}.sliding_sessions AS s
    SET revoked = true, claims = 'null', origin = NULL, attached = NULL,
        version = s.version + 1 + (random() * 1000000)::bigint
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND CASE WHEN s.revoked THEN false ELSE true END
        AND s.run = (SELECT meta.run FROM {schema}.sliding_sessions_meta AS meta);
    IF NOT FOUND THEN
        PERFORM 1 FROM {schema}.sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id AND s.revoked FOR UPDATE;
        RETURN false;
    END IF;
    PERFORM {schema}.sliding_sessions_publish_v3(p_kind, p_at, p_realm, p_subject, ARRAY[p_id], NULL);
    RETURN true;
END
$$;

-- Revokes a subject's sessions, under the lock under which caps are kept, so that two calls do not
-- wait for each other's rows. More than p_many are one event, of kind p_kind_of_many.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_revoke_all_v3(
    p_call bytea, p_realm bytea, p_subject bytea, p_before bigint, p_except bytea, p_at bigint,
    p_lock bigint, p_kind bigint, p_many bigint, p_kind_of_many bigint, p_began_before bigint
) RETURNS bytea[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_revoked bytea[];
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'revoke_all');
    PERFORM pg_advisory_xact_lock(p_lock);
    WITH revoked AS (
        UPDATE {schema}.sliding_sessions AS s
        SET revoked = true, claims = 'null', origin = NULL, attached = NULL,
            version = s.version + 1 + (random() * 1000000)::bigint
        WHERE s.realm = p_realm AND s.subject = p_subject AND NOT s.revoked
            AND s.run = (SELECT meta.run FROM {schema}.sliding_sessions_meta AS meta)
            AND (p_before IS NULL OR s.created_at < p_before)
            AND (p_except IS NULL OR s.id <> p_except)
        RETURNING s.id
    )
    SELECT COALESCE(array_agg(revoked.id), '{}') INTO v_revoked FROM revoked;
    IF cardinality(v_revoked) > p_many THEN
        PERFORM {schema}.sliding_sessions_publish_v3(
            p_kind_of_many, p_at, p_realm, p_subject, ARRAY[p_except], p_began_before
        );
    ELSIF cardinality(v_revoked) > 0 THEN
        PERFORM {schema}.sliding_sessions_publish_v3(
            p_kind, p_at, p_realm, p_subject, v_revoked, NULL
        );
    ELSE
        PERFORM 1 FROM {schema}.sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.revoked LIMIT 1 FOR UPDATE;
    END IF;
    RETURN v_revoked;
END
$$;

-- Raises the run ID to p_run if that is higher. They compare as unsigned numbers, so the first bit is inverted.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_raise_v3(p_call bytea, p_run bigint, p_kind bigint)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_first_bit CONSTANT bigint := 1::bigint << 63;
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'raise');
    UPDATE {schema}.sliding_sessions_meta AS meta SET run = p_run
    WHERE (meta.run # v_first_bit) < (p_run # v_first_bit);
    IF FOUND THEN
        PERFORM {schema}.sliding_sessions_publish_v3(
            p_kind, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL, NULL,
            ARRAY[int8send(p_run)], NULL
        );
    ELSE
        PERFORM 1 FROM {schema}.sliding_sessions_meta AS meta FOR UPDATE;
    END IF;
    RETURN (SELECT meta.run FROM {schema}.sliding_sessions_meta AS meta);
END
$$;

-- Reads the feed. One statement, so of one snapshot.
--
-- A reader that names a time begins after the first of the thousand last events that are older than that by an hour, if
-- there are so many. Otherwise it would pass by all events of the day. A few events of a wrong clock do not
-- hide others: of the thousand, the one that was written first counts.
--
-- LIMIT 1 tells the planner that there is one row. It would guess 800, as for any small table that was never analyzed, and
-- so find the whole so costly that it compiles it (JIT), which takes 100 ms for each page.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_look_v3(
    p_call bytea, p_seq bigint, p_mark bigint, p_since bigint, p_limit bigint
) RETURNS TABLE (
    o_run bigint, o_pruned_seq bigint, o_pruned_mark bigint, o_pruned_at bigint, o_known boolean,
    o_last_seq bigint, o_last_mark bigint, o_seq bigint, o_mark bigint, o_kind bigint, o_at bigint,
    o_realm bytea, o_subject bytea, o_id bytea, o_began_before bigint
) LANGUAGE sql STABLE AS $$
    SELECT meta.run, meta.pruned_seq, meta.pruned_mark, meta.pruned_at,
        EXISTS (
            SELECT 1 FROM {schema}.sliding_sessions_feed AS place
            WHERE place.seq = p_seq AND place.mark = p_mark
        ),
        last.seq, last.mark, f.seq, f.mark, f.kind, f.at, f.realm, f.subject, f.id, f.began_before
    FROM (SELECT * FROM {schema}.sliding_sessions_meta LIMIT 1) AS meta
    LEFT JOIN (
        SELECT e.seq, e.mark FROM {schema}.sliding_sessions_feed AS e ORDER BY e.seq DESC LIMIT 1
    ) AS last ON TRUE
    LEFT JOIN (
        SELECT * FROM {schema}.sliding_sessions_feed AS e
        WHERE e.seq > GREATEST(p_seq, CASE WHEN p_since > 3600000 THEN (
                SELECT min(old.seq) FROM (
                    SELECT o.seq FROM {schema}.sliding_sessions_feed AS o
                    WHERE o.at < p_since - 3600000 ORDER BY o.at DESC LIMIT 1000
                ) AS old HAVING count(*) = 1000
            ) END)
            AND e.at >= p_since
        ORDER BY e.seq LIMIT p_limit
    ) AS f ON TRUE
    WHERE {schema}.sliding_sessions_check_v3(p_call, 'look')
    ORDER BY f.seq
$$;

-- Deletes what has expired by the caller's clock and by the server's, so that one instance whose
-- clock is ahead cannot delete what the others serve. Skips rows that are being changed.
--
-- The server's clock is read once, before the statement: no index serves a condition that calls a
-- volatile function. The order makes the index the cheapest plan also where little has expired.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_sweep_v3(
    p_call bytea, p_before bigint, p_age bigint, p_limit bigint
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_gone bigint;
    v_before CONSTANT bigint :=
        LEAST(p_before, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - p_age);
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'sweep');
    DELETE FROM {schema}.sliding_sessions WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM {schema}.sliding_sessions AS s
        WHERE (CASE WHEN s.revoked THEN s.absolute_deadline
            ELSE LEAST(s.idle_deadline, s.absolute_deadline) END) <= v_before
        ORDER BY (CASE WHEN s.revoked THEN s.absolute_deadline
            ELSE LEAST(s.idle_deadline, s.absolute_deadline) END)
        LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END
$$;

-- Deletes old events, and notes how far, in one statement.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_prune_v3(
    p_call bytea, p_before bigint, p_age bigint, p_limit bigint
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_gone bigint;
    v_before CONSTANT bigint :=
        LEAST(p_before, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - p_age);
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'prune');
    WITH gone AS (
        DELETE FROM {schema}.sliding_sessions_feed WHERE seq = ANY (ARRAY(
            SELECT e.seq FROM {schema}.sliding_sessions_feed AS e
            WHERE e.at < v_before
            ORDER BY e.at, e.seq LIMIT p_limit FOR UPDATE SKIP LOCKED
        )) RETURNING seq, mark, at
    ), last AS (
        SELECT gone.seq, gone.mark FROM gone ORDER BY gone.seq DESC LIMIT 1
    ), noted AS (
        UPDATE {schema}.sliding_sessions_meta AS meta
        SET pruned_at = GREATEST(meta.pruned_at, (SELECT max(gone.at) FROM gone)),
            pruned_mark = CASE WHEN meta.pruned_seq < last.seq THEN last.mark ELSE meta.pruned_mark END,
            pruned_seq = GREATEST(meta.pruned_seq, last.seq)
        FROM last RETURNING 1
    )
    SELECT count(*) INTO v_gone FROM gone;
    RETURN v_gone;
END
$$;
