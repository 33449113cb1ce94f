-- The tables, as the first version had them. Each `{schema}` is the quoted name of their schema.

CREATE TABLE {schema}.sliding_sessions (
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
CREATE INDEX sliding_sessions_dies_at ON {schema}.sliding_sessions
    ((CASE WHEN revoked THEN absolute_deadline ELSE LEAST(idle_deadline, absolute_deadline) END));

CREATE TABLE {schema}.sliding_sessions_feed (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mark    bigint NOT NULL,
    kind    bigint NOT NULL,
    at      bigint NOT NULL,
    realm   bytea,
    subject bytea,
    id      bytea
);
CREATE INDEX sliding_sessions_feed_at ON {schema}.sliding_sessions_feed (at);

CREATE TABLE {schema}.sliding_sessions_meta (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    version     bigint NOT NULL,
    run         bigint NOT NULL,
    pruned_seq  bigint NOT NULL DEFAULT 0,
    pruned_mark bigint NOT NULL DEFAULT 0,
    pruned_at   bigint NOT NULL DEFAULT -1
);
