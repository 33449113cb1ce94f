CREATE TABLE sliding_sessions (
    realm             BLOB    NOT NULL,
    subject           BLOB    NOT NULL,
    id                BLOB    NOT NULL,
    run               INTEGER NOT NULL,
    -- When it can be deleted: at the absolute deadline if it was revoked, else at the first one.
    dies_at           INTEGER NOT NULL,
    generation        INTEGER NOT NULL,
    confirmed_at      INTEGER,
    created_at        INTEGER NOT NULL,
    idle_timeout      INTEGER NOT NULL,
    idle_deadline     INTEGER NOT NULL,
    absolute_deadline INTEGER NOT NULL,
    revoked           INTEGER NOT NULL,
    claims            BLOB    NOT NULL,
    stale_since       INTEGER,
    methods           BLOB,
    proof             BLOB,
    origin            BLOB,
    persistent        INTEGER NOT NULL,
    PRIMARY KEY (realm, subject, id)
);
CREATE INDEX sliding_sessions_dies_at ON sliding_sessions (dies_at);

-- AUTOINCREMENT: a number is never used again, not even that of the last row when it is deleted.
CREATE TABLE sliding_sessions_feed (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    mark    INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    realm   BLOB,
    subject BLOB,
    id      BLOB
);
CREATE INDEX sliding_sessions_feed_at ON sliding_sessions_feed (at);

CREATE TABLE sliding_sessions_meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    version     INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    pruned_seq  INTEGER NOT NULL DEFAULT 0,
    pruned_mark INTEGER NOT NULL DEFAULT 0,
    pruned_at   INTEGER NOT NULL DEFAULT -1
);
