-- Functions carry the version of the migration that made them. A later migration adds functions
-- under new names, so that instances of both versions run side by side during a deployment.

CREATE TABLE sliding_sessions (
    realm             bytea   NOT NULL,
    subject           bytea   NOT NULL,
    id                bytea   NOT NULL,
    run               bigint  NOT NULL,
    generation        bigint  NOT NULL,
    confirmed_at      bigint,
    created_at        bigint  NOT NULL,
    idle_timeout      bigint  NOT NULL,
    idle_deadline     bigint  NOT NULL,
    absolute_deadline bigint  NOT NULL,
    revoked           boolean NOT NULL,
    claims            bytea   NOT NULL,
    stale_since       bigint,
    methods           bytea,
    proof             bytea,
    origin            bytea,
    persistent        boolean NOT NULL,
    PRIMARY KEY (realm, subject, id)
);

-- When a session can be deleted: at its absolute deadline if it was revoked, else at the first one.
CREATE INDEX sliding_sessions_dies_at ON sliding_sessions
    ((CASE WHEN revoked THEN absolute_deadline ELSE LEAST(idle_deadline, absolute_deadline) END));

CREATE TABLE sliding_sessions_feed (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mark    bigint NOT NULL,
    kind    bigint NOT NULL,
    at      bigint NOT NULL,
    realm   bytea,
    subject bytea,
    id      bytea
);
CREATE INDEX sliding_sessions_feed_at ON sliding_sessions_feed (at);

CREATE TABLE sliding_sessions_meta (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    version     bigint NOT NULL,
    run         bigint NOT NULL,
    pruned_seq  bigint NOT NULL DEFAULT 0,
    pruned_mark bigint NOT NULL DEFAULT 0,
    pruned_at   bigint NOT NULL DEFAULT -1
);

-- The run, and a session's record if it is of that run: what every operation answers with.
CREATE TYPE sliding_sessions_snapshot_v1 AS (
    applied boolean, run bigint,
    id bytea, generation bigint, confirmed_at bigint, created_at bigint, idle_timeout bigint,
    idle_deadline bigint, absolute_deadline bigint, revoked boolean, claims bytea,
    stale_since bigint, methods bytea, proof bytea, origin bytea, persistent boolean
);

CREATE FUNCTION sliding_sessions_get_v1(p_realm bytea, p_subject bytea, p_id bytea, p_applied boolean)
RETURNS SETOF sliding_sessions_snapshot_v1 LANGUAGE sql STABLE AS $$
    SELECT p_applied, meta.run,
        s.id, s.generation, s.confirmed_at, s.created_at, s.idle_timeout,
        s.idle_deadline, s.absolute_deadline, s.revoked, s.claims,
        s.stale_since, s.methods, s.proof, s.origin, s.persistent
    FROM sliding_sessions_meta AS meta
    LEFT JOIN sliding_sessions AS s
        ON s.realm = p_realm AND s.subject = p_subject AND s.id = p_id AND s.run = meta.run
$$;

-- Adds events to the feed: the last thing that a transaction does.
--
-- Readers go by seq, so rows must be committed in its order. The lock sees to that: it is held from
-- before the number is drawn until the transaction has committed. It is the feed's own, so no
-- transaction of anybody else holds the feed up.
CREATE FUNCTION sliding_sessions_publish_v1(
    p_kind bigint, p_at bigint, p_realm bytea, p_subject bytea, p_ids bytea[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_mark bigint := (random() * 9007199254740991)::bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1936487021, ('sliding_sessions_feed'::regclass)::oid::integer);
    INSERT INTO sliding_sessions_feed (mark, kind, at, realm, subject, id)
    SELECT v_mark, p_kind, p_at, p_realm, p_subject, ids.id
    FROM unnest(p_ids) WITH ORDINALITY AS ids (id, place) ORDER BY ids.place;
END
$$;

-- What follows changes a record and answers with it as it then is. Within a VOLATILE function, each
-- statement sees what was committed before that statement. UPDATE waits for whoever is changing
-- the row and then judges the row as that left it; what comes after sees at least as much. So
-- the loser of a race gets the winner's record. If UPDATE finds nothing to do, nothing is written.

CREATE FUNCTION sliding_sessions_advance_v1(
    p_realm bytea, p_subject bytea, p_id bytea, p_from bigint, p_confirmed_by bigint, p_at bigint
) RETURNS SETOF sliding_sessions_snapshot_v1 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE sliding_sessions AS s
    SET generation = s.generation + 1,
        confirmed_at = NULL,
        idle_deadline = GREATEST(s.idle_deadline, LEAST(p_at + s.idle_timeout, s.absolute_deadline))
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND s.run = (SELECT meta.run FROM sliding_sessions_meta AS meta)
        AND NOT s.revoked AND p_at < s.idle_deadline AND p_at < s.absolute_deadline
        AND s.generation = p_from AND s.confirmed_at <= p_confirmed_by;
    RETURN QUERY SELECT * FROM sliding_sessions_get_v1(p_realm, p_subject, p_id, FOUND);
END
$$;

CREATE FUNCTION sliding_sessions_fast_forward_v1(
    p_realm bytea, p_subject bytea, p_id bytea, p_to bigint, p_at bigint
) RETURNS SETOF sliding_sessions_snapshot_v1 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE sliding_sessions AS s
    SET generation = p_to,
        confirmed_at = p_at,
        idle_deadline = GREATEST(s.idle_deadline, LEAST(p_at + s.idle_timeout, s.absolute_deadline))
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND s.run = (SELECT meta.run FROM sliding_sessions_meta AS meta)
        AND NOT s.revoked AND p_at < s.idle_deadline AND p_at < s.absolute_deadline
        AND s.generation < p_to;
    RETURN QUERY SELECT * FROM sliding_sessions_get_v1(p_realm, p_subject, p_id, FOUND);
END
$$;

CREATE FUNCTION sliding_sessions_prove_v1(
    p_realm bytea, p_subject bytea, p_id bytea, p_proof bytea, p_at bigint
) RETURNS SETOF sliding_sessions_snapshot_v1 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE sliding_sessions AS s SET proof = p_proof
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND s.run = (SELECT meta.run FROM sliding_sessions_meta AS meta)
        AND NOT s.revoked AND p_at < s.idle_deadline AND p_at < s.absolute_deadline;
    RETURN QUERY SELECT * FROM sliding_sessions_get_v1(p_realm, p_subject, p_id, FOUND);
END
$$;

CREATE FUNCTION sliding_sessions_put_claims_v1(
    p_realm bytea, p_subject bytea, p_id bytea, p_claims bytea, p_at bigint, p_kind bigint
) RETURNS SETOF sliding_sessions_snapshot_v1 LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_applied boolean;
BEGIN
    UPDATE sliding_sessions AS s SET claims = p_claims, stale_since = GREATEST(s.stale_since, p_at)
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
        AND s.run = (SELECT meta.run FROM sliding_sessions_meta AS meta)
        AND NOT s.revoked AND p_at < s.idle_deadline AND p_at < s.absolute_deadline;
    v_applied := FOUND;
    IF v_applied THEN
        PERFORM sliding_sessions_publish_v1(p_kind, p_at, p_realm, p_subject, ARRAY[p_id]);
    END IF;
    RETURN QUERY SELECT * FROM sliding_sessions_get_v1(p_realm, p_subject, p_id, v_applied);
END
$$;

-- Adds a session: o_outcome is 0 if it did, 1 if the id exists, 2 if there are too many. A cap is
-- kept under a lock on the subject (p_lock), since those who race have no row in common.
CREATE FUNCTION sliding_sessions_create_v1(
    p_realm bytea, p_subject bytea,
    p_id bytea, p_generation bigint, p_confirmed_at bigint, p_created_at bigint,
    p_idle_timeout bigint, p_idle_deadline bigint, p_absolute_deadline bigint, p_revoked boolean,
    p_claims bytea, p_stale_since bigint, p_methods bytea, p_proof bytea, p_origin bytea,
    p_persistent boolean,
    p_limit bigint, p_refuse boolean, p_lock bigint, p_kind bigint,
    OUT o_outcome bigint, OUT o_run bigint, OUT o_ended bytea[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_excess bigint := 0;
BEGIN
    o_outcome := 0;
    o_ended := '{}';
    IF p_limit IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(p_lock);
    END IF;
    SELECT meta.run INTO STRICT o_run FROM sliding_sessions_meta AS meta;
    IF EXISTS (
        SELECT 1 FROM sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id
    ) THEN
        o_outcome := 1;
        RETURN;
    END IF;
    IF p_limit IS NOT NULL THEN
        SELECT count(*) + 1 - p_limit INTO v_excess FROM sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.run = o_run AND NOT s.revoked
            AND p_created_at < s.idle_deadline AND p_created_at < s.absolute_deadline;
        IF v_excess > 0 AND p_refuse THEN
            o_outcome := 2;
            RETURN;
        END IF;
    END IF;
    INSERT INTO sliding_sessions (
        realm, subject, run, id, generation, confirmed_at, created_at, idle_timeout, idle_deadline,
        absolute_deadline, revoked, claims, stale_since, methods, proof, origin, persistent
    ) VALUES (
        p_realm, p_subject, o_run, p_id, p_generation, p_confirmed_at, p_created_at, p_idle_timeout,
        p_idle_deadline, p_absolute_deadline, p_revoked, p_claims, p_stale_since, p_methods, p_proof,
        p_origin, p_persistent
    ) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        o_outcome := 1;
        RETURN;
    END IF;
    IF v_excess > 0 THEN
        WITH oldest AS (
            SELECT s.id FROM sliding_sessions AS s
            WHERE s.realm = p_realm AND s.subject = p_subject AND s.run = o_run AND s.id <> p_id
                AND NOT s.revoked
                AND p_created_at < s.idle_deadline AND p_created_at < s.absolute_deadline
            ORDER BY s.created_at, s.id LIMIT v_excess
        ), ended AS (
            UPDATE sliding_sessions AS s SET revoked = true, claims = 'null', origin = NULL
            FROM oldest
            WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = oldest.id AND NOT s.revoked
            RETURNING s.id
        )
        SELECT COALESCE(array_agg(ended.id), '{}') INTO o_ended FROM ended;
        PERFORM sliding_sessions_publish_v1(p_kind, p_created_at, p_realm, p_subject, o_ended);
    END IF;
END
$$;

-- Ends one session. One that has ended already is told again: whoever repeats a sign-out may not
-- know that it was heard.
CREATE FUNCTION sliding_sessions_end_v1(
    p_realm bytea, p_subject bytea, p_id bytea, p_at bigint, p_kind bigint
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_ended boolean;
BEGIN
    UPDATE sliding_sessions AS s SET revoked = true, claims = 'null', origin = NULL
    WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id AND NOT s.revoked
        AND s.run = (SELECT meta.run FROM sliding_sessions_meta AS meta);
    v_ended := FOUND;
    IF v_ended OR EXISTS (
        SELECT 1 FROM sliding_sessions AS s
        WHERE s.realm = p_realm AND s.subject = p_subject AND s.id = p_id AND s.revoked
    ) THEN
        PERFORM sliding_sessions_publish_v1(p_kind, p_at, p_realm, p_subject, ARRAY[p_id]);
    END IF;
    RETURN v_ended;
END
$$;

-- Ends a subject's sessions, under the lock under which caps are kept, so that nobody waits in a
-- circle for rows.
CREATE FUNCTION sliding_sessions_end_all_v1(
    p_realm bytea, p_subject bytea, p_before bigint, p_except bytea, p_at bigint, p_lock bigint,
    p_kind bigint
) RETURNS bytea[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_ended bytea[];
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock);
    WITH ended AS (
        UPDATE sliding_sessions AS s SET revoked = true, claims = 'null', origin = NULL
        WHERE s.realm = p_realm AND s.subject = p_subject AND NOT s.revoked
            AND s.run = (SELECT meta.run FROM sliding_sessions_meta AS meta)
            AND (p_before IS NULL OR s.created_at < p_before)
            AND (p_except IS NULL OR s.id <> p_except)
        RETURNING s.id
    )
    SELECT COALESCE(array_agg(ended.id), '{}') INTO v_ended FROM ended;
    IF cardinality(v_ended) > 0 THEN
        PERFORM sliding_sessions_publish_v1(p_kind, p_at, p_realm, p_subject, v_ended);
    END IF;
    RETURN v_ended;
END
$$;

CREATE FUNCTION sliding_sessions_rotate_v1(p_run bigint, p_kind bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE sliding_sessions_meta SET run = p_run;
    PERFORM sliding_sessions_publish_v1(
        p_kind, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL, NULL, ARRAY[int8send(p_run)]
    );
END
$$;
