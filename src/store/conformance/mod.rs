//! The suite that every session store must pass, for authors of stores (feature `conformance`).
//!
//! What [`SessionStore`] promises in prose, this suite asks of a store at run time, many tasks
//! racing. A store that passes keeps legitimate clients signed in and revoked sessions out; one that
//! does not will, sooner or later, do neither. Each case is named as a sentence.
//!
//! # One line
//!
//! In an integration test of the crate that holds the store (with `tokio`'s `macros` and
//! `rt-multi-thread` among its dev-dependencies), [`store_conformance!`] makes one test of each
//! case:
//!
//! ```
//! use tower_sliding_sessions::store::{MemoryStore, conformance::store_conformance};
//!
//! async fn make() -> MemoryStore {
//!     MemoryStore::new().expect("random bytes")
//! }
//!
//! store_conformance!(make);
//! ```
//!
//! [`run`] does the same in one go, and [`run_case`] runs a single case by its name.
//!
//! # What the suite asks of its surroundings
//!
//! - *A store.* `make` is called once for each case. It may give a store of its own each time (a
//!   prefix, a schema, a file), or the same one again and again: no case assumes an empty store,
//!   and each uses realms, subjects and sessions that it has just drawn at random. Some cases
//!   change what all sessions of a store share, its run ID or its idea of the time, or need silence
//!   in its feed. They wait until they are alone. They know only of the cases of their own process,
//!   so a runner that gives each test a process of its own (cargo-nextest) wants a store of its own
//!   for each.
//! - *Time* is an argument everywhere, as in the engine. Cases start at the real time, since some
//!   stores turn deadlines into lifetimes, and then count in minutes of their own. Nothing sleeps.
//!   Sessions of most cases live for weeks; they are not cleaned up afterwards.
//! - *Tokio*, since cases spawn tasks. A runtime with several threads races harder.
//! - What a store says that it cannot do ([`has_feed`](SessionStore::has_feed), [`can_list`](SessionStore::can_list),
//!   [`keeps_values`](SessionStore::keeps_values)) must be answered with
//!   [`StoreError::Unsupported`](super::StoreError::Unsupported), and what needs it is skipped.
//! - A history drawn at random: if it finds something, the standard error output names a seed, and
//!   the environment variable `STORE_CONFORMANCE_SEED` repeats the history of that seed.
//!
//! A case that hangs fails after two minutes; an event that does not come is waited for 15 seconds.
#![expect(clippy::panic, clippy::expect_used, reason = "a failed case is a panic")]

mod advance;
mod cancel;
mod cap;
mod claims;
mod create;
mod expiry;
mod feed;
mod isolation;
mod list;
mod model;
mod race;
mod reader;
mod replace;
mod revoke;
mod round_trip;
mod run_id;
mod suite;
mod usage;
mod values;
mod world;

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::sync::RwLock;

#[doc(hidden)]
pub use self::suite::__store_conformance;
#[doc(inline)]
pub use self::suite::store_conformance;
use self::world::World;
use super::{MemoryStore, SessionStore};

/// How long a case may take.
const CASE_DEADLINE: Duration = Duration::from_secs(120);

/// Held by every case: shared by most, alone by those that change what all sessions share.
static TURN: RwLock<()> = RwLock::const_new(());

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One case of the suite, for stores of type `S`.
struct Case<S> {
    /// What it says of a store: a sentence with underscores.
    name: &'static str,
    /// Whether it runs while no other case of this process does.
    alone: bool,
    body: fn(World<S>) -> Running,
}

/// The names of the cases, in the order in which [`run`] takes them.
#[must_use]
pub fn cases() -> Vec<&'static str> {
    suite::cases::<MemoryStore>().iter().map(|case| case.name).collect()
}

/// Runs every case, one after the other, each against a store that `make` gives.
///
/// # Panics
/// After the last case, with the names of those that failed.
pub async fn run<S: SessionStore>(make: impl AsyncFn() -> S) {
    let mut failed = Vec::new();
    for name in cases() {
        let store = make().await;
        if tokio::spawn(async move { run_case(name, store).await }).await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "the store does not conform: {}", failed.join(", "));
}

/// Runs the case called `name` against `store`, once it is its turn.
///
/// # Panics
/// If the store does not conform, the case does not end within two minutes, or there is no such case.
pub async fn run_case<S: SessionStore>(name: &str, store: S) {
    let Some(case) = suite::cases::<S>().into_iter().find(|case| case.name == name) else {
        panic!("the suite has no case {name}");
    };
    let (_shared, _alone) =
        if case.alone { (None, Some(TURN.write().await)) } else { (Some(TURN.read().await), None) };
    let world = World::new(Arc::new(store));
    if tokio::time::timeout(CASE_DEADLINE, (case.body)(world)).await.is_err() {
        panic!("{name} did not end within {CASE_DEADLINE:?}");
    }
}
