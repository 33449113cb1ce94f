//! A sign-out counts on the other instances within the feed's lag.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use crate::{
    browser::{self, Crowd},
    instance::Instance,
    servers::Shared,
    setting,
};

/// The number of tries, which `FLEET_SIGN_OUTS` sets.
const TRIES: u64 = 40;

pub(crate) async fn check(store: &mut impl Shared) {
    let fleet: Vec<_> = (0..3).map(|_| Instance::start(&store.url(), &[])).collect();
    let addresses: Vec<_> = fleet.iter().map(|instance| instance.address).collect();
    // 500 requests a second.
    let crowd = Crowd::start(25, Duration::from_millis(50), addresses).await;
    let mut lags = Vec::new();
    for n in 0..setting("FLEET_SIGN_OUTS", TRIES) {
        let jar = browser::sign_in(fleet[0].address, &format!("leaver {n}")).await;
        for instance in &fleet {
            assert_eq!(instance.client().get("/me", &jar).await.status, StatusCode::OK);
        }
        assert_eq!(fleet[0].client().post("/logout", &jar, "").await.status, StatusCode::NO_CONTENT);
        let signed_out = now();
        for instance in &fleet[1..] {
            while instance.client().get("/me", &jar).await.status == StatusCode::OK {
                assert!(signed_out.elapsed() < Duration::from_secs(5), "a signed-out session is served on");
            }
            lags.push(signed_out.elapsed());
        }
    }
    let tally = crowd.stop().await;
    lags.sort();
    let (median, worst) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    println!("sign-out elsewhere: median {median:?}, worst {worst:?}, over {} looks; {tally:?}", lags.len());
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[expect(clippy::disallowed_methods, reason = "the test measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
