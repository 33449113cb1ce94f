//! Instances are killed at arbitrary times while clients renew their sessions.

use std::{sync::atomic::Ordering, time::Duration};

use crate::{browser::Crowd, instance::Instance, servers::Shared, setting};

/// Every client renews and rotates all the time.
const SETTINGS: [(&str, &str); 7] = [
    ("DEMO_CRASH_WINDOW", "0"),
    ("DEMO_ACCESS_TTL", "0.2"),
    ("DEMO_RENEW_BEFORE", "0"),
    ("DEMO_GRACE", "1"),
    ("DEMO_WRITE_WINDOW", "1"),
    ("DEMO_ROTATION_INTERVAL", "3.1"),
    ("DEMO_IDLE", "600"),
];

pub(crate) async fn check(store: &mut impl Shared) {
    let mut fleet: Vec<_> = (0..3).map(|_| Instance::start(&store.url(), &SETTINGS)).collect();
    let addresses: Vec<_> = fleet.iter().map(|instance| instance.address).collect();
    let crowd = Crowd::start(20, Duration::from_millis(30), addresses).await;
    let kills = setting("FLEET_KILLS", 10);
    for n in 0..kills {
        // Any time will do: no client is synchronized with this.
        tokio::time::sleep(Duration::from_millis(200 + (n * 37) % 400)).await;
        let victim = usize::try_from(n).unwrap_or_default() % fleet.len();
        tokio::task::block_in_place(|| fleet[victim].kill_and_replace());
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let tally = crowd.stop().await;
    println!("{kills} kills: {tally:?}");
    assert!(tally.served.load(Ordering::SeqCst) > 0);
    assert_eq!(tally.refused.load(Ordering::SeqCst), 0, "a session ended");
    assert_eq!(tally.removals.load(Ordering::SeqCst), 0, "a cookie was removed");
}
