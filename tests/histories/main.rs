//! Histories, checked in the spirit of Jepsen: clients, administrators and an attacker use three instances, while
//! servers are killed and paused, links are cut and slowed, disks are full and clocks are set. Every operation is
//! recorded with its interval, and afterwards the history is checked.
//!
//! Needs the programs of Redis, PostgreSQL and Memcached; `tests/run` installs them. `HISTORY_SECONDS` sets the length
//! (default 40), and `SEED` the schedule of the faults and what the clients do. Thread scheduling does not depend on
//! the seed, except on the memory store, whose time is simulated.
//!
//! `HISTORY_SECONDS=1800 SEED=7 cargo test --all-features --test histories -- --nocapture engines` is the long form.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod broken;
#[path = "../input/chance.rs"]
#[expect(dead_code, reason = "shared with the tests of input")]
mod chance;
mod checker;
mod disk;
mod engines;
mod faults;
#[path = "../chaos/faulty_store.rs"]
mod faulty_store;
#[path = "../flawed_store/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of the conformance suite")]
mod flawed_store;
#[path = "../support/freeze.rs"]
mod freeze;
mod history;
mod instance;
mod link;
#[path = "../memcached_store/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the store")]
mod memcached_server;
mod others;
#[path = "../support/port.rs"]
mod port;
mod recording;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of stores")]
mod records;
mod redis_engine;
#[path = "../redis_store/server.rs"]
mod redis_server;
#[path = "../fleet/servers.rs"]
#[expect(dead_code, reason = "shared with the tests of a fleet")]
mod servers;
mod summary;
mod tokens;
mod world;

use std::{sync::Arc, time::Duration};

use tower_sliding_sessions::{protocol::Timing, store::MemoryStore};

use self::{
    checker::{Assumptions, Report, check},
    engines::Engine,
    faults::{Faulty, NoServer, schedule},
    instance::{INSTANCES, Open, build},
    summary::Summary,
    world::{Plan, World},
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Short times, so that each session rotates often. Clocks may be an hour off, so the timeouts are long.
pub(crate) fn assumptions() -> Assumptions {
    let hour = millis(3_600_000);
    let timing = Timing::default()
        .access_ttl(millis(3000))
        .idle_timeout(hour * 12)
        .absolute_timeout(hour * 48)
        .grace(millis(1000))
        .crash_window(millis(1000))
        .late_body(Duration::ZERO)
        .write_window(millis(1000))
        .rotation_interval(millis(3200))
        .renew_before(Duration::ZERO);
    Assumptions {
        timing,
        store_deadline: millis(500),
        feed_lag_bound: millis(1000),
        ride_through: millis(1000),
        lag: millis(1500),
        recovery: millis(4000),
        on_the_way: millis(800),
        clocks_apart: millis(200),
    }
}

/// In simulated time, nothing is late.
pub(crate) fn simulated() -> Assumptions {
    Assumptions { lag: millis(100), recovery: millis(1500), ..assumptions() }
}

async fn run<F: Faulty>(
    what: &str,
    assumptions: Assumptions,
    engine: Engine<F>,
    can_list: bool,
    time: Duration,
) {
    let seed = setting("SEED", 20_261_127);
    let how_to_repeat = format!("HISTORY_SECONDS={} SEED={seed}, {what}", setting("HISTORY_SECONDS", 40));
    let Engine { open, links, server } = engine;
    let faults = schedule(seed, time, &server.faults());
    let plan = Plan { seed, time, clients: 20, can_list, faults };
    let history = World::run(plan, assumptions, open, links, server).await;
    let violations = check(&history, &assumptions);
    println!(
        "{what}: {}; {} violations; {how_to_repeat}",
        Summary::of(&history, &assumptions),
        violations.len()
    );
    let report = Report { history: &history, violations: &violations, how_to_repeat: &how_to_repeat };
    assert!(violations.is_empty(), "{report}");
}

fn seconds() -> Duration {
    Duration::from_secs(setting("HISTORY_SECONDS", 40))
}

/// They run in parallel: most of the time they wait.
mod engines_keep_their_promises {
    use super::*;

    /// Its time is simulated, so its history is longer.
    #[tokio::test(start_paused = true)]
    async fn memory() {
        let store = MemoryStore::new().expect("random bytes");
        let open: Open = Arc::new(move |_, setup| {
            let store = store.clone();
            Box::pin(async move { Ok(build(store, setup)) })
        });
        let links = (0..INSTANCES).map(|_| None).collect();
        run("memory", simulated(), Engine { open, links, server: NoServer }, true, seconds() * 4).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        run("sqlite", assumptions(), engines::sqlite(), true, seconds()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis() {
        run("redis", assumptions(), redis_engine::redis().await, true, seconds()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memcached() {
        run("memcached", assumptions(), engines::memcached().await, false, seconds()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        run("postgres", assumptions(), engines::postgres().await, true, seconds()).await;
    }
}
