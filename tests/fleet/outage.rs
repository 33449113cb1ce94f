//! The store is unavailable under load, and returns: no session ends, and no signed-out session is
//! served.

use std::{sync::atomic::Ordering, time::Duration};

use axum::http::StatusCode;

use crate::{
    browser::{self, Crowd},
    instance::Instance,
    servers::Shared,
    setting,
    sign_out::now,
};

/// Access tokens of 2 s, so that many renewals need the store during the outage.
const SHORT: [(&str, &str); 7] = [
    ("DEMO_CRASH_WINDOW", "0"),
    ("DEMO_ACCESS_TTL", "2"),
    ("DEMO_GRACE", "0.5"),
    ("DEMO_WRITE_WINDOW", "0.5"),
    ("DEMO_ROTATION_INTERVAL", "1.6"),
    ("DEMO_IDLE", "600"),
    ("DEMO_RENEW_BEFORE", "0.5"),
];

pub(crate) async fn check(store: &mut impl Shared) {
    let long = Instance::start(&store.url(), &[]);
    let fleet: Vec<_> = (0..2).map(|_| Instance::start(&store.url(), &SHORT)).collect();
    let addresses: Vec<_> = fleet.iter().map(|instance| instance.address).collect();
    let crowd = Crowd::start(20, Duration::from_millis(100), addresses).await;
    let unhurried = browser::sign_in(long.address, "unhurried").await;
    let leaver = browser::sign_in(fleet[0].address, "leaver").await;
    assert_eq!(fleet[0].client().post("/logout", &leaver, "").await.status, StatusCode::NO_CONTENT);
    tokio::time::sleep(Duration::from_secs(3)).await;

    store.stop().await;
    let outage = Duration::from_secs(setting("FLEET_OUTAGE", 4));
    let stopped = now();
    while stopped.elapsed() < outage {
        // A valid access token needs no store.
        let unmoved = long.client().get("/me", &unhurried).await;
        assert_eq!(unmoved.status, StatusCode::OK, "{unmoved:?}");
        let ended = fleet[0].client().get("/me", &leaver).await;
        assert_ne!(ended.status, StatusCode::OK, "a session that was signed out is served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused_meanwhile = long.client().post("/logout", &unhurried, "").await;
    assert_eq!(refused_meanwhile.status, StatusCode::SERVICE_UNAVAILABLE, "the failed sign-out is an error");
    assert!(refused_meanwhile.header("retry-after").is_some());
    assert!(refused_meanwhile.set_cookies.is_empty());
    store.resume().await;

    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = crowd.tally.unavailable.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = crowd.tally.unavailable.load(Ordering::SeqCst);
    assert_eq!(fleet[1].client().get("/me", &leaver).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(long.client().post("/logout", &unhurried, "").await.status, StatusCode::NO_CONTENT);
    let tally = crowd.stop().await;
    println!("an outage of {outage:?}: {tally:?}");
    assert_eq!(tally.refused.load(Ordering::SeqCst), 0, "a session ended");
    assert_eq!(tally.removals.load(Ordering::SeqCst), 0, "a cookie was removed");
    assert!(before > 0, "expired access tokens met the outage");
    assert_eq!(after, before, "every client is served again without a restart");
}
