-- What parts of the crate attach to a session, such as a provider's tokens, sealed.

ALTER TABLE sliding_sessions ADD COLUMN attached BLOB;
