//! Stores, and very many sessions in them. SQL stores are filled by copies of a session that the store itself wrote: by
//! its API, each would wait for the disk. The others are filled by their API.

use std::{ops::Range, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tower_sliding_sessions::{
    SessionId, Timestamp,
    store::{
        CreateError, MemcachedStore, PostgresStore, RedisStore, SqliteStore,
        redis_client::{Client, cmd},
        sqlx::{self, AssertSqlSafe, PgPool, SqlitePool},
    },
};

use crate::{
    Store, process,
    records::{id, name, now, record, subject},
};

/// The user with very many sessions.
pub(crate) const CROWD: &str = "crowd";

/// How a store is reached beside its API.
pub(crate) enum Home {
    Memory,
    Sqlite(SqlitePool, String),
    Postgres(PgPool, String),
    Redis(Box<Client>, String),
    Memcached(String),
}

pub(crate) struct Place<S> {
    pub(crate) store: S,
    pub(crate) home: Home,
}

/// Whose sessions are added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Each of another user.
    Many,
    /// All of one user.
    One,
    /// Each of another user, and expired.
    Expired,
}

pub(crate) async fn sqlite(folder: &process::Folder, number: usize) -> Place<SqliteStore> {
    let file = folder.file(&format!("sessions-{number}.db"));
    let store = SqliteStore::open(&file).await.expect("it opens");
    let pool = SqlitePool::connect(&file).await.expect("it opens");
    Place::new(store, Home::Sqlite(pool, file))
}

pub(crate) async fn postgres() -> Place<PostgresStore> {
    let (url, schema) = (process::variable("TEST_POSTGRES_URL"), format!("scale_{}", unique()));
    let pool = PgPool::connect(&url).await.expect("the server answers");
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::raw_sql(create).execute(&pool).await.expect("a schema");
    let store = PostgresStore::connect_in_schema(&url, &schema).await.expect("it starts");
    Place::new(store, Home::Postgres(pool, schema))
}

/// Each store in a database of its own: the keys of others are not in its tables.
pub(crate) async fn redis(number: usize) -> Place<RedisStore> {
    let url = format!("{}{number}", process::variable("TEST_REDIS_URL"));
    let store = RedisStore::connect(&url).await.expect("the server answers").with_prefix("scale");
    Place::new(store, Home::Redis(Box::new(Client::open(url.as_str()).expect("a URL")), url))
}

pub(crate) async fn memcached() -> Place<MemcachedStore> {
    let url = process::variable("TEST_MEMCACHED_URL").replace("memcached://", "");
    let store = MemcachedStore::new(&url).with_prefix(&unique());
    Place::new(store, Home::Memcached(url))
}

pub(crate) fn unique() -> String {
    let id = SessionId::random().expect("random bytes");
    id.as_bytes().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

const COLUMNS: &str = "version, run, generation, confirmed_at, created_at, offered_at, idle_timeout, \
    rotation_interval, timing, revoked, claims, persistent";

impl<S: Store> Place<S> {
    pub(crate) fn new(store: S, home: Home) -> Self {
        Self { store, home }
    }

    /// Adds sessions with these numbers.
    pub(crate) async fn fill(&self, numbers: Range<u64>, of: Of) {
        let hours = if of == Of::Expired { 72 } else { 0 };
        let created = Timestamp::from_millis(now().as_millis() - hours * 60 * 60 * 1000);
        match &self.home {
            Home::Sqlite(pool, _) => {
                self.template().await;
                let name = match of {
                    Of::One => format!("'{CROWD}'"),
                    _ => "printf('%08x-%027d', (n * 2654435761) & 4294967295, n)".to_owned(),
                };
                let (Range { start, end }, ago) = (&numbers, hours * 60 * 60 * 1000);
                let sql = format!(
                    "WITH RECURSIVE all_n (n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM all_n WHERE n < {end} - 1) \
                     INSERT INTO sliding_sessions (realm, subject, id, {COLUMNS}, idle_deadline, absolute_deadline, dies_at) \
                     SELECT realm, CAST({name} AS BLOB), CAST(printf('%032d', n) AS BLOB), {COLUMNS}, \
                     idle_deadline - {ago}, absolute_deadline - {ago}, dies_at - {ago} \
                     FROM all_n, sliding_sessions WHERE subject = CAST('template' AS BLOB)"
                );
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("sessions");
            }
            Home::Postgres(pool, schema) => {
                self.template().await;
                let name = match of {
                    Of::One => format!("'{CROWD}'"),
                    _ => {
                        "lpad(to_hex((n * 2654435761) & 4294967295), 8, '0') || '-' || lpad(n::text, 27, '0')"
                            .to_owned()
                    }
                };
                let (Range { start, end }, ago) = (&numbers, hours * 60 * 60 * 1000);
                let sql = format!(
                    "INSERT INTO {schema}.sliding_sessions (realm, subject, id, {COLUMNS}, idle_deadline, absolute_deadline) \
                     SELECT realm, convert_to({name}, 'UTF8'), convert_to(lpad(n::text, 32, '0'), 'UTF8'), {COLUMNS}, \
                     idle_deadline - {ago}, absolute_deadline - {ago} \
                     FROM {schema}.sliding_sessions, generate_series({start}::bigint, {end}::bigint - 1) AS n \
                     WHERE subject = 'template'"
                );
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("sessions");
            }
            _ => self.fill_by_api(numbers, of, created).await,
        }
    }

    async fn template(&self) {
        let template = (subject("template"), record(id(u64::MAX), now()));
        // It may be there.
        let _exists = self.store.create(&template.0, &template.1, None).await;
    }

    async fn fill_by_api(&self, numbers: Range<u64>, of: Of, created: Timestamp) {
        const TASKS: u64 = 64;
        let mut filling = JoinSet::new();
        for part in 0..TASKS {
            let (store, numbers) = (self.store.clone(), numbers.clone());
            filling.spawn(async move {
                for number in numbers.filter(|number| number % TASKS == part) {
                    let subject = if of == Of::One { subject(CROWD) } else { subject(&name(number)) };
                    let record = record(id(number), created);
                    // A busy machine answers late.
                    for _ in 0..100 {
                        match store.create(&subject, &record, None).await {
                            Ok(_) | Err(CreateError::Exists) => break,
                            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                        }
                    }
                }
            });
        }
        filling.join_all().await;
    }

    /// Lets the database settle, as it would in the background.
    pub(crate) async fn settle(&self) {
        match &self.home {
            Home::Postgres(pool, schema) => {
                let sql = format!("VACUUM ANALYZE {schema}.sliding_sessions");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("it is settled");
            }
            Home::Sqlite(pool, _) => {
                let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
                sqlx::raw_sql(sql).execute(pool).await.expect("it is settled");
            }
            _ => {}
        }
    }

    /// What the store uses, in bytes.
    pub(crate) async fn bytes(&self) -> i64 {
        self.settle().await;
        match &self.home {
            Home::Memory => process::memory(),
            Home::Sqlite(_, file) => {
                std::fs::metadata(file).expect("it is there").len().try_into().expect("a number")
            }
            Home::Postgres(pool, schema) => {
                let sql = format!("SELECT pg_total_relation_size('{schema}.sliding_sessions')");
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.expect("the server knows")
            }
            Home::Redis(client, _) => {
                // What expired keys and long answers took is given back.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
                let info: String =
                    cmd("INFO").arg("memory").query_async(&mut connection).await.expect("an answer");
                number_after(&info, "used_memory:")
            }
            Home::Memcached(address) => {
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                stream.write_all(b"stats slabs\r\nquit\r\n").await.expect("it is sent");
                let mut text = String::new();
                stream.read_to_string(&mut text).await.expect("an answer");
                number_after(&text, "STAT total_malloced ")
            }
        }
    }
}

pub(crate) fn number_after(text: &str, name: &str) -> i64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
    value.trim().parse().expect("a number")
}
