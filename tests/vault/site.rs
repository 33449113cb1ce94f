//! An application with a vault, and sessions in it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response, header},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sliding_sessions::{
    Event, EventKind, Keyring, ManualClock, Session, Sessions, Timestamp,
    store::{
        MemoryStore, PostgresStore, RedisStore, SessionStore, SqliteStore, sqlx::postgres::PgPoolOptions,
    },
    vault::{Provider, Vault},
};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The machine of a test may be slow.
const A_MINUTE: Duration = Duration::from_secs(60);
pub(crate) const SECRET: &[u8] = b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
pub(crate) const NEW_SECRET: &[u8] = b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG";

pub(crate) fn keys(secret: &[u8]) -> Keyring {
    Keyring::hs256(secret).expect("a good secret")
}

pub(crate) type Time = Arc<ManualClock>;

/// One instance of the application.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) sessions: Sessions,
    pub(crate) vault: Vault,
    pub(crate) clock: Time,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl Site {
    pub(crate) fn new<S: SessionStore>(store: S, clock: &Time, provider: Provider) -> Self {
        Self::patient(store, clock, provider, Duration::from_millis(500))
    }

    /// With this deadline for the store.
    pub(crate) fn patient<S: SessionStore>(
        store: S,
        clock: &Time,
        provider: Provider,
        deadline: Duration,
    ) -> Self {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let noted = events.clone();
        let sessions = Sessions::<()>::builder(keys(SECRET))
            .store(store)
            .clock(clock.clone())
            .store_deadline(deadline)
            .timing(|timing| timing.idle_timeout(60 * DAY).absolute_timeout(60 * DAY))
            .on_event(move |event| noted.lock().expect("no panic").push(event.clone()))
            .build()
            .expect("good settings");
        let vault = Vault::new(&sessions, [provider]);
        Self { sessions, vault, clock: clock.clone(), events }
    }

    /// With a store in memory.
    pub(crate) fn alone(provider: impl FnOnce(Time) -> Provider) -> Self {
        let clock = clock();
        Self::new(MemoryStore::new().expect("random bytes"), &clock, provider(clock.clone()))
    }

    /// A new session of this subject.
    pub(crate) async fn open(&self, subject: &str) -> Session {
        let cookie = self.sessions.cookie_of(subject, ()).await.expect("signed in");
        self.session(cookie.to_str().expect("text")).await.expect("a session")
    }

    /// The session of a request with these cookies.
    pub(crate) async fn session(&self, cookie: &str) -> Option<Session> {
        let found = Arc::<Mutex<Option<Session>>>::default();
        let put = found.clone();
        let inner = service_fn(move |request: Request<Body>| {
            *put.lock().expect("no panic") = Session::of(&request).cloned();
            async { Ok::<_, Infallible>(Response::new(Body::empty())) }
        });
        let request = Request::get("http://localhost/").header(header::COOKIE, cookie);
        let request = request.body(Body::empty()).expect("a request");
        let _response = self.sessions.layer().layer(inner).oneshot(request).await.expect("it answers");
        found.lock().expect("no panic").take()
    }

    pub(crate) fn now(&self) -> Timestamp {
        use tower_sliding_sessions::Clock as _;
        self.clock.now()
    }

    /// Why tokens were not renewed, as the events say.
    pub(crate) fn failures(&self) -> Vec<&'static str> {
        let events = self.events.lock().expect("no panic");
        let why = |event: &Event| match event.kind {
            EventKind::UpstreamFailed { why, .. } => Some(why),
            _ => None,
        };
        events.iter().filter_map(why).collect()
    }

    /// How often tokens were renewed.
    pub(crate) fn renewed(&self) -> usize {
        let events = self.events.lock().expect("no panic");
        events.iter().filter(|event| matches!(event.kind, EventKind::UpstreamRenewed { .. })).count()
    }
}

/// A clock that is right, and stands still.
pub(crate) fn clock() -> Time {
    use tower_sliding_sessions::{Clock as _, SystemClock};
    Arc::new(ManualClock::new(SystemClock.now()))
}

pub(crate) fn redis_url() -> String {
    env("TEST_REDIS_URL")
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: tests/run starts a server and sets it"))
}

/// Something unique.
pub(crate) fn unique() -> String {
    let id = tower_sliding_sessions::SessionId::random().expect("random bytes");
    id.as_bytes().iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// Three instances over one store in SQLite, and its file.
pub(crate) async fn sqlite(provider: Provider, clock: &Time) -> ([Site; 3], tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions.db");
    let open = async || SqliteStore::open(path.to_str().expect("UTF-8")).await.expect("it opens");
    let site = async || Site::patient(open().await, clock, provider.clone(), A_MINUTE);
    ([site().await, site().await, site().await], folder)
}

/// Three instances over one store in Redis, and the prefix of its keys.
pub(crate) async fn redis(provider: Provider, clock: &Time) -> ([Site; 3], String) {
    let prefix = unique();
    let connect = async || {
        let store = RedisStore::connect(&redis_url()).await.expect("the server answers");
        Site::patient(store.with_prefix(&prefix), clock, provider.clone(), A_MINUTE)
    };
    ([connect().await, connect().await, connect().await], prefix)
}

/// A store in a new schema of PostgreSQL, the URL of the server, and the name of the schema.
pub(crate) async fn postgres_store() -> (PostgresStore, String, String) {
    use tower_sliding_sessions::store::sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
    let (url, schema) = (env("TEST_POSTGRES_URL"), format!("t{}", unique()));
    let mut admin = PgConnection::connect(&url).await.expect("the server answers");
    admin.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.expect("a new schema");
    (open_schema(&url, &schema).await, url, schema)
}

async fn open_schema(url: &str, schema: &str) -> PostgresStore {
    // Without optimisation, connections take so long that a hundred calls at once can be too late for one.
    let pool = PgPoolOptions::new().acquire_timeout(A_MINUTE).connect(url);
    let store = PostgresStore::new(pool.await.expect("the server answers"));
    let store = store.with_schema(schema).expect("a name");
    store.migrate().await.expect("it is migrated");
    store
}

/// Three instances over one store in PostgreSQL.
pub(crate) async fn postgres(provider: Provider, clock: &Time) -> [Site; 3] {
    let (one, url, schema) = postgres_store().await;
    let site = |store| Site::patient(store, clock, provider.clone(), A_MINUTE);
    [site(one), site(open_schema(&url, &schema).await), site(open_schema(&url, &schema).await)]
}
