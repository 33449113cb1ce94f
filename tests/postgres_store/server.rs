//! Stores in their own schemas, and sessions in them.

use std::{str::FromStr as _, time::Duration};

use tower_sliding_sessions::{
    Clock as _, RunId, SessionId, SystemClock, Timestamp,
    store::{
        PostgresStore, SessionKey, SessionRecord, SessionStore as _, Snapshot, StoreError, Subject,
        sqlx::{
            AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool,
            postgres::{PgConnectOptions, PgPoolOptions},
        },
    },
};

use crate::records;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The server's URL.
pub(crate) fn url() -> String {
    match std::env::var("TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => panic!("TEST_POSTGRES_URL is not set: tests/run starts a server and sets it"),
    }
}

/// The name of a new, empty schema.
pub(crate) async fn schema() -> String {
    let id = SessionId::random().expect("random bytes");
    let hex: String = id.as_bytes().iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    let schema = format!("t{hex}");
    let mut connection = PgConnection::connect(&url()).await.expect("the server answers");
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.expect("a new schema");
    schema
}

/// The URL of a new, empty schema.
pub(crate) async fn schema_url() -> String {
    format!("{}?options=-csearch_path%3D{}", url(), schema().await)
}

/// A pool on a schema.
pub(crate) async fn pool(url: &str) -> PgPool {
    let options = PgConnectOptions::from_str(url).expect("a URL");
    PgPoolOptions::new().max_connections(8).connect_with(options).await.expect("the server answers")
}

/// A store in a new schema.
pub(crate) async fn fresh() -> PostgresStore {
    PostgresStore::connect(&schema_url().await).await.expect("the server answers")
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

#[expect(clippy::needless_pass_by_value, reason = "names and numbers alike")]
pub(crate) fn subject(name: impl ToString) -> Subject {
    Subject { realm: "test".into(), name: name.to_string().into() }
}

/// A session that begins at `created` and lasts one day.
pub(crate) fn record(created: Timestamp) -> SessionRecord {
    records::record(created, DAY, DAY)
}

/// Opens a session of a new subject.
pub(crate) async fn open(store: &PostgresStore, created: Timestamp) -> SessionKey {
    let record = record(created);
    let subject = subject(format!("user-{}", record.id().encode()));
    store.create(&subject, &record, None).await.expect("it is created");
    SessionKey { subject, id: record.id() }
}

/// The lowest run ID. To raise to it changes nothing.
pub(crate) const LOWEST: RunId = match RunId::from_u64(1) {
    Some(run) => run,
    None => unreachable!(),
};

/// Confirms the current generation, as of `at`.
pub(crate) async fn confirm(
    store: &PostgresStore,
    key: &SessionKey,
    at: Timestamp,
) -> Result<(), StoreError> {
    loop {
        let Snapshot { record, version, .. } = store.get(key).await?;
        let record = records::confirmed(&record.expect("it is there"), at);
        if store.replace(key, version, &record, None).await?.applied {
            return Ok(());
        }
    }
}
