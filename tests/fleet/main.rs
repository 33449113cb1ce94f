//! Several processes of the demo on one store: one session, wherever its requests go.
//!
//! Needs the programs `redis-server` and PostgreSQL's; `tests/run` installs them. The clocks are
//! real ones here, and the lifetimes short. `FLEET_OUTAGE` sets how long a store stays away, in
//! seconds (default 4), and `FLEET_KILLS` how often an instance is killed (default 10).

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, that is how things fail"
)]

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

/// Each test has the machine to itself: what is measured here is time.
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
    a_thousand_requests_to_three_instances_are_served_by_one_rotation => crate::rotation::check;
    a_sign_out_on_one_instance_counts_on_the_others_at_once => crate::sign_out::check;
    streams_and_sockets_close_when_another_instance_ends_their_session => crate::streams::check;
    nobody_is_signed_out_while_the_store_is_away => crate::outage::check;
    nobody_is_signed_out_when_instances_are_killed => crate::kills::check;
}
