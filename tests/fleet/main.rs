//! Several processes of the demo on one store: one session works on each of them.
//!
//! Needs the programs `redis-server` and PostgreSQL's; `tests/run` installs them. The clocks are real,
//! and the lifetimes short. `FLEET_OUTAGE` sets the length of an outage in seconds (default 4), and
//! `FLEET_KILLS` the number of killed instances (default 10).

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod browser;
#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the demo")]
mod client;
mod instance;
mod kills;
mod outage;
#[path = "../support/port.rs"]
mod port;
mod rotation;
mod servers;
mod sign_out;
mod streams;

/// A number that the environment may set.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Each test runs alone: it measures times.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// One test for each store that a fleet can share.
macro_rules! on_each_store {
    ($($name:ident => $check:path;)*) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let _alone = crate::ALONE.lock().await;
                $check(&mut crate::servers::Redis::start().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let _alone = crate::ALONE.lock().await;
                $check(&mut crate::servers::Postgres::start().await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let _alone = crate::ALONE.lock().await;
                $check(&mut crate::servers::Sqlite::start().await).await;
            })*
        }
    };
}

on_each_store! {
    thousand_requests_to_three_instances_are_served_by_one_rotation => crate::rotation::check;
    sign_out_on_one_instance_counts_on_the_others_at_once => crate::sign_out::check;
    streams_and_sockets_close_when_another_instance_revokes_their_session => crate::streams::check;
    outage_of_the_store_ends_no_session => crate::outage::check;
    killed_instance_ends_no_session => crate::kills::check;
}
