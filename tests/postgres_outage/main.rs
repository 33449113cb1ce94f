//! The PostgreSQL store while its server is away. Stops the server, so nothing else may run meanwhile.
