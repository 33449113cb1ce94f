//! What many sessions, many revocations and many instances cost. The manual's page "Scaling" has the figures.
//!
//! `cargo bench --bench scale --features axum,memcached,postgres,redis,sqlite -- operations memory sqlite`
//!
//! - `operations <store>...`: each operation at 10,000, 100,000 and 1,000,000 sessions.
//! - `arrival <store>...`: 100,000 revocations reach an instance within 10 seconds.
//! - `start <store>...`: an instance starts while 100,000 events are in the feed.
//! - `denylist`: the memory of one entry.
//! - `fleet`: reads of the feed by many instances, in virtual time.
//!
//! `TEST_POSTGRES_URL`, `TEST_REDIS_URL` and `TEST_MEMCACHED_URL` name the servers: see `tests/servers`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed benchmark is a panic"
)]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

mod arrival;
mod bulk;
mod fleet;
mod operations;
mod process;
mod records;
mod report;
mod start;
mod watched;

use tower_sliding_sessions::store::{MemcachedStore, MemoryStore, PostgresStore, RedisStore, SqliteStore};

use self::bulk::{Home, Place};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let Some((what, names)) = arguments.split_first() else {
        println!("usage: scale operations|arrival|start <store>..., scale denylist, scale fleet");
        return;
    };
    match what.as_str() {
        "fleet" => return fleet::report(),
        "publish" => return process::run(arrival::publish(names)),
        "denylist" => return process::run(arrival::denylist()),
        _ => {}
    }
    for name in names {
        println!("\n## {what}: {name}\n");
        process::run(one(what, name));
    }
}

async fn one(what: &str, name: &str) {
    macro_rules! with {
        ($open:expr) => {
            match what {
                "operations" => operations::report($open).await,
                "arrival" => arrival::report($open(0).await, name).await,
                "start" => start::report($open(0).await).await,
                _ => panic!("{what:?} is no measurement"),
            }
        };
    }
    match name {
        "memory" => with!(async |_| Place::new(
            MemoryStore::with_capacity(3_000_000).expect("random bytes"),
            Home::Memory
        )),
        "sqlite" => {
            let folder = process::Folder::new();
            with!(async |number| bulk::sqlite(&folder, number).await);
        }
        "postgres" => with!(async |_| bulk::postgres().await),
        "redis" => with!(async |number| bulk::redis(number).await),
        "memcached" => with!(async |_| bulk::memcached().await),
        _ => panic!("{name:?} is no store"),
    }
}

/// The stores that are measured.
trait Store: tower_sliding_sessions::store::SessionStore + Clone {}
impl Store for MemoryStore {}
impl Store for SqliteStore {}
impl Store for PostgresStore {}
impl Store for RedisStore {}
impl Store for MemcachedStore {}
