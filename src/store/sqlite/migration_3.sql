-- What parts of the crate attach to a session, such as a provider's tokens, sealed; and values that belong to no session.

ALTER TABLE sliding_sessions ADD COLUMN attached BLOB;

CREATE TABLE sliding_sessions_values (
    key        BLOB    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    value      BLOB    NOT NULL,
    keep_until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sliding_sessions_values_keep_until ON sliding_sessions_values (keep_until);
