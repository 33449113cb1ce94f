//! Device-bound sessions on three instances over PostgreSQL and over Redis. Needs servers, which `tests/run` starts.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[path = "device_bound/browser.rs"]
#[expect(dead_code, reason = "shared with the tests over a store in memory")]
mod browser;
#[path = "support/failing_store.rs"]
#[expect(dead_code, reason = "as above")]
mod failing_store;
#[path = "device_bound/key.rs"]
#[expect(dead_code, reason = "as above")]
mod key;
#[path = "device_bound/world.rs"]
#[expect(dead_code, reason = "as above")]
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use tower_sliding_sessions::{
    EventKind, Renewed, SessionId, SessionsBuilder,
    store::{
        PostgresStore, RedisStore, SessionStore,
        sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, postgres::PgPoolOptions},
    },
};

use self::{
    browser::{Browser, Refreshed},
    world::{Instance, World, bound},
};

/// The machine of a test may be slow.
const A_MINUTE: Duration = Duration::from_secs(60);

fn url(of: &str) -> String {
    std::env::var(of).unwrap_or_else(|_| panic!("{of} is not set: tests/run starts a server"))
}

/// A name that no other test has.
fn new_name() -> String {
    let id = SessionId::random().expect("random bytes");
    let hex: String = id.as_bytes().iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("device_{hex}")
}

fn tuned(builder: SessionsBuilder<String>) -> SessionsBuilder<String> {
    builder.device_bound(bound()).store_deadline(A_MINUTE)
}

fn count(world: &World, kind: &EventKind) -> usize {
    world.count(|other| other == kind)
}

async fn get(browser: &mut Browser, world: &World, instance: &Instance) -> StatusCode {
    browser.send(world, instance, Method::GET, "/me", &[]).await.status
}

/// Signs in, binds, is copied, refreshes a thousand times at once, and signs out, on three instances.
async fn walk<S: SessionStore + Clone>(stores: [S; 3]) {
    let [one, two, three] = stores;
    let world = World::over(one, tuned);
    let others = [world.beside(two, tuned), world.beside(three, tuned)];
    let instances = [&world.one, &others[0], &others[1]];
    let mut browser = Browser::new();
    assert!(browser.send(&world, instances[0], Method::POST, "/login", &[]).await.ok());
    assert!(browser.bound.is_some());
    for nth in 0..6 {
        world.pass(280);
        assert_eq!(get(&mut browser, &world, instances[nth % 3]).await, StatusCode::OK);
    }
    assert_eq!(count(&world, &EventKind::DeviceConfirmed), 1);
    let mut copy = browser.copied_jar();

    // A rotation is due once the generation is confirmed, which is written in the background.
    let mut rotations = 0;
    for _ in 0..5 {
        if rotations > 0 {
            break;
        }
        world.pass(280);
        let before = count(&world, &EventKind::Renewed(Renewed::Rotated));
        let refreshes = (0..1000).map(|nth| {
            let (mut tab, world, instance) = (browser.clone(), &world, instances[nth % 3]);
            async move { (tab.refresh(world, instance).await, tab) }
        });
        let done = join_all(refreshes).await;
        assert!(done.iter().all(|(refreshed, _)| *refreshed == Refreshed::Done));
        rotations = count(&world, &EventKind::Renewed(Renewed::Rotated)) - before;
        browser = done.into_iter().map(|(_, tab)| tab).next_back().expect("a tab");
    }
    assert_eq!(rotations, 1, "a thousand refreshes make one rotation");

    world.pass(301);
    for instance in instances {
        assert_eq!(get(&mut copy, &world, instance).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(count(&world, &EventKind::DeviceProofMissing) >= 1);
    assert_eq!(count(&world, &EventKind::ReuseDetected), 0);
    for instance in instances {
        assert_eq!(get(&mut browser, &world, instance).await, StatusCode::OK);
    }
    assert!(browser.send(&world, instances[1], Method::POST, "/logout", &[]).await.ok());
    world.pass(301);
    for instance in instances {
        assert_eq!(get(&mut copy, &world, instance).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_on_postgres() {
    let (server, schema) = (url("TEST_POSTGRES_URL"), new_name());
    let mut admin = PgConnection::connect(&server).await.expect("the server answers");
    admin.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.expect("a new schema");
    let open = async || {
        let pool = PgPoolOptions::new().acquire_timeout(A_MINUTE).connect(&server);
        let store = PostgresStore::new(pool.await.expect("the server answers"));
        let store = store.with_schema(&schema).expect("a name");
        store.migrate().await.expect("the tables");
        store
    };
    walk([open().await, open().await, open().await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_on_redis() {
    let (server, prefix) = (url("TEST_REDIS_URL"), new_name());
    let connect =
        async || RedisStore::connect(&server).await.expect("the server answers").with_prefix(&prefix);
    walk([connect().await, connect().await, connect().await]).await;
}
