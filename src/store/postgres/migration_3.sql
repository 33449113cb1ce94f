-- What parts of the crate attach to a session, such as a provider's tokens, sealed. Instances of the second version
-- go on with their own functions, which leave this column as it is.

ALTER TABLE {schema}.sliding_sessions ADD COLUMN attached bytea;
