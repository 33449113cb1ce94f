//! Three instances share one store. Their wall clocks are stepped by an hour, forwards and backwards;
//! their runtimes, followers and processes are killed; emergency stops run in parallel. Afterwards every
//! instance serves new sessions, and no instance serves a revoked one.
//!
//! All choices come from a seed, which is printed. `CHAOS_SEED` sets it, and `CHAOS_ROUNDS` sets the
//! number of rounds (default 40; 500 is the long form). Thread scheduling does not depend on the seed.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[path = "../input/chance.rs"]
#[expect(dead_code, reason = "shared with the tests of input")]
mod chance;
mod faulty_store;
mod instance;
mod world;

use std::sync::{Arc, Mutex, PoisonError};

use tower_sliding_sessions::{
    SessionId,
    store::{
        MemoryStore, PostgresStore, RedisStore, SqliteStore,
        sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection},
    },
};

use self::{
    instance::Connect,
    world::{Plan, World},
};

/// Each test runs alone: the recovery times are part of the test.
static ALONE: Mutex<()> = Mutex::new(());

const EMERGENCY_STOPS: Plan = Plan { emergency_stops: true };
const SINGLE_REVOCATIONS: Plan = Plan { emergency_stops: false };

fn unique() -> String {
    let id = SessionId::random().expect("random bytes");
    id.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: tests/run starts a server"))
}

fn memory(plan: Plan) {
    let store = MemoryStore::new().expect("random bytes");
    let connect: Connect<_> = Arc::new(move || Box::pin(std::future::ready(store.clone())));
    World::new("memory", plan, &connect).run();
}

fn sqlite(plan: Plan) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions.db").to_string_lossy().into_owned();
    let connect: Connect<_> = Arc::new(move || {
        let path = path.clone();
        Box::pin(async move { SqliteStore::open(&path).await.expect("a file") })
    });
    World::new("sqlite", plan, &connect).run();
}

fn redis(plan: Plan) {
    let (url, prefix) = (given("TEST_REDIS_URL"), unique());
    let connect: Connect<_> = Arc::new(move || {
        let (url, prefix) = (url.clone(), prefix.clone());
        Box::pin(async move { RedisStore::connect(&url).await.expect("a server").with_prefix(&prefix) })
    });
    World::new("redis", plan, &connect).run();
}

fn postgres(plan: Plan) {
    let (url, schema) = (given("TEST_POSTGRES_URL"), format!("chaos{}", unique()));
    let address = format!("{url}?options=-csearch_path%3D{schema}");
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let mut connection = PgConnection::connect(&url).await.expect("the server answers");
        let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        connection.execute(create).await.expect("a new schema");
    });
    let connect: Connect<_> = Arc::new(move || {
        let address = address.clone();
        Box::pin(async move { PostgresStore::connect(&address).await.expect("the server answers") })
    });
    World::new("postgres", plan, &connect).run();
}

/// Both plans on each store.
macro_rules! on_each_store {
    ($($store:ident),*) => {$(
        mod $store {
            use super::*;

            #[test]
            fn after_concurrent_emergency_stops_every_instance_serves_new_sessions_and_no_older_one() {
                let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
                super::$store(EMERGENCY_STOPS);
            }

            #[test]
            fn clock_steps_and_killed_followers_make_no_instance_serve_a_revoked_session() {
                let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
                super::$store(SINGLE_REVOCATIONS);
            }
        }
    )*};
}

on_each_store!(memory, sqlite, redis, postgres);
