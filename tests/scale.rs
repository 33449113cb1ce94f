//! What many instances ask of their store: real followers of the feed in virtual time, with a store that answers by the
//! timing rules of the real ones and counts. `benches/scale` has the same for a thousand instances.
#![expect(clippy::expect_used, reason = "a failed test is a panic")]

#[path = "../benches/scale/fleet.rs"]
#[expect(dead_code, reason = "it also prints a report")]
mod fleet;

use std::time::Duration;

use fleet::{Fleet, Kind, in_virtual_time};

const INSTANCES: usize = 20;
/// The default.
const PAUSE: Duration = Duration::from_millis(50);

/// The reads of the feed of one instance in a second, once the pauses are as long as they become.
fn reads_of_one(kind: Kind, revocations: u64, pause: Duration) -> u64 {
    const SECONDS: u64 = 10;
    let mut reads = 0;
    in_virtual_time(async {
        let fleet = Fleet::start(kind, INSTANCES, 0, pause).await;
        fleet.second(revocations).await;
        fleet.second(revocations).await;
        let mut delivered = 0;
        for _ in 0..SECONDS {
            let second = fleet.second(revocations).await;
            (reads, delivered) = (reads + second.feed, delivered + second.delivered);
        }
        // A pause is 2.5 s at most.
        let expected = revocations * INSTANCES as u64 * SECONDS;
        assert!(delivered.abs_diff(expected) <= expected / 4, "{delivered} of {expected}");
        fleet.stop().await;
    });
    println!("{kind:?}, {revocations} revocations a second, {pause:?}: {reads} reads in {SECONDS} s");
    reads / INSTANCES as u64 / SECONDS
}

#[test]
fn instance_reads_a_silent_polled_feed_twenty_times_a_second_and_a_notified_one_once() {
    assert!((18..=22).contains(&reads_of_one(Kind::Polled, 0, PAUSE)));
    assert!(reads_of_one(Kind::Notified, 0, PAUSE) <= 2);
}

#[test]
fn reads_of_a_busy_feed_do_not_depend_on_the_number_of_revocations() {
    for revocations in [100, 1000] {
        for kind in [Kind::Polled, Kind::Notified] {
            let reads = reads_of_one(kind, revocations, PAUSE);
            assert!(
                reads <= 4,
                "{reads} reads of one instance at {revocations} revocations a second, {kind:?}"
            );
        }
    }
}

#[test]
fn longer_pause_means_fewer_reads_and_is_at_most_half_of_the_lag_bound() {
    for kind in [Kind::Polled, Kind::Notified] {
        assert!(reads_of_one(kind, 1000, PAUSE * 10) <= 3);
        // The lag bound is 5 s.
        in_virtual_time(async {
            let fleet = Fleet::start(kind, 1, 0, Duration::from_secs(3600)).await;
            let mut delivered = 0;
            for _ in 0..10 {
                delivered += fleet.second(10).await.delivered;
            }
            assert!(delivered >= 50, "{delivered} of 100");
            fleet.stop().await;
        });
    }
}

#[test]
fn after_an_outage_each_instance_reads_each_revocation_once() {
    in_virtual_time(async {
        let fleet = Fleet::start(Kind::Notified, INSTANCES, 200, PAUSE).await;
        let seconds = fleet.outage().await;
        assert_eq!(seconds.iter().sum::<u64>(), 200 * INSTANCES as u64, "{seconds:?}");
        fleet.stop().await;
    });
}
