#[path = "../../../tests/support/browser.rs"]
#[expect(dead_code, reason = "shared with the tests of other examples")]
mod browser;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response},
};
use tower_sliding_sessions::{Keyring, ManualClock, Sessions, Timestamp};

use self::browser::{Browser, text};

/// So long that no test sees a request given back.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

fn app(burst: u32) -> (Router, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let builder = Sessions::builder(Keyring::random().expect("a key")).clock(clock.clone());
    (super::app(builder, burst, PERIOD).expect("an application"), clock)
}

async fn send(browser: &mut Browser, from: &str, method: &str, path: &str, body: &str) -> Response<Body> {
    let address: SocketAddr = from.parse().expect("an address");
    let request = Request::builder().method(method).uri(path).extension(ConnectInfo(address));
    browser.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

async fn status(browser: &mut Browser, from: &str, method: &str, path: &str, body: &str) -> u16 {
    send(browser, from, method, path, body).await.status().as_u16()
}

#[tokio::test]
async fn users_behind_one_address_have_a_quota_each_and_devices_of_one_user_share_it() {
    let (app, _) = app(3);
    let [mut ann, mut bob] = [Browser::new(&app), Browser::new(&app)];
    assert_eq!(status(&mut ann, "10.0.0.1:1000", "POST", "/login", "ann").await, 200);
    assert_eq!(status(&mut bob, "10.0.0.1:1001", "POST", "/login", "bob").await, 200);
    for _ in 0..3 {
        assert_eq!(status(&mut ann, "10.0.0.1:1000", "GET", "/me", "").await, 200);
    }
    assert_eq!(status(&mut ann, "10.0.0.1:1000", "GET", "/me", "").await, 429);
    // At another address, too.
    assert_eq!(status(&mut ann, "10.0.0.2:1000", "GET", "/me", "").await, 429);
    let mut phone = Browser::new(&app);
    assert_eq!(status(&mut phone, "10.0.0.3:1000", "POST", "/login", "ann").await, 200);
    assert_eq!(status(&mut phone, "10.0.0.3:1000", "GET", "/me", "").await, 429);
    assert_eq!(status(&mut bob, "10.0.0.1:1001", "GET", "/me", "").await, 200);
}

#[tokio::test]
async fn anonymous_requests_and_sign_ins_count_against_the_address() {
    let (app, _) = app(2);
    let mut visitor = Browser::new(&app);
    for (from, again) in [("10.0.0.1:1000", "10.0.0.1:2000"), ("[2001:db8::1]:1", "[2001:db8::2]:1")] {
        assert_eq!(status(&mut visitor, from, "GET", "/", "").await, 200);
        assert_eq!(status(&mut visitor, again, "GET", "/me", "").await, 401);
        let refused = send(&mut visitor, from, "POST", "/login", "ann").await;
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key("retry-after"));
    }
    assert_eq!(status(&mut visitor, "[2001:db8:0:1::1]:1", "GET", "/", "").await, 200);
}

#[tokio::test]
async fn a_renewed_session_keeps_its_quota_and_a_revoked_one_is_anonymous() {
    let (app, clock) = app(3);
    let mut ann = Browser::new(&app);
    let here = "10.0.0.1:1000";
    assert_eq!(status(&mut ann, here, "POST", "/login", "ann").await, 200);
    assert_eq!(status(&mut ann, here, "GET", "/me", "").await, 200);
    clock.advance(Duration::from_secs(20 * 60)); // the access token has expired
    let renewed = send(&mut ann, here, "GET", "/me", "").await;
    assert!(renewed.headers().contains_key("set-cookie"));
    assert_eq!(text(renewed).await, "ann");
    let copied = ann.clone();
    assert_eq!(status(&mut ann, here, "POST", "/logout", "").await, 200);
    assert_eq!(ann.jar.names().count(), 0);
    let mut copied = copied;
    assert_eq!(status(&mut copied, here, "GET", "/me", "").await, 401);
}
