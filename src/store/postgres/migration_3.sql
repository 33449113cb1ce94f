-- What parts of the crate attach to a session, such as a provider's tokens, sealed; and values that belong to no session.
-- Instances of the second version go on with their own functions, which leave both as they are.

ALTER TABLE {schema}.sliding_sessions ADD COLUMN attached bytea;

CREATE TABLE {schema}.sliding_sessions_values (
    key        bytea  NOT NULL PRIMARY KEY,
    version    bigint NOT NULL,
    value      bytea  NOT NULL,
    keep_until bigint NOT NULL
);
CREATE INDEX sliding_sessions_values_keep_until ON {schema}.sliding_sessions_values (keep_until);
