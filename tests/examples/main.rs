//! Each example does what its text says, with a manual clock.

#![expect(clippy::expect_used, reason = "a failed test is a panic")]

mod browser;
#[path = "../../examples/devices.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod devices;
#[path = "../../examples/lifetimes.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod lifetimes;
#[path = "../../examples/live.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod live;
#[path = "../../examples/polling.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod polling;
#[cfg(feature = "vault")]
#[path = "../../examples/provider_tokens.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod provider_tokens;
#[path = "../../examples/roles.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod roles;
#[path = "../../examples/step_up.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod step_up;
#[path = "../../examples/watching.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod watching;

use std::{sync::Arc, time::Duration};

use axum::http::{StatusCode, header};
use http_body_util::BodyExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{RwLock, mpsc};
use tower_sliding_sessions::{
    EventKind, Keyring, ManualClock, Sessions, SessionsBuilder, Timestamp, protocol::Timing,
};

use self::browser::{Browser, json, text};

const MINUTE: Duration = Duration::from_secs(60);
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A builder with a manual clock.
fn sessions<C>() -> (SessionsBuilder<C>, Arc<ManualClock>)
where
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
    (Sessions::builder(keys).clock(clock.clone()), clock)
}

#[tokio::test]
async fn new_roles_apply_at_the_next_request_and_a_locked_user_is_refused() {
    let (builder, clock) = sessions();
    let names = [("ann", vec![]), ("bob", vec![]), ("root", vec!["admin".to_owned()])];
    let names = names.map(|(name, roles)| (name.to_owned(), Some(roles)));
    let users: roles::Users = Arc::new(RwLock::new(names.into()));
    let app = roles::app(builder, users.clone()).expect("a valid policy");
    let mut root = Browser::signed_in(&app, "desk", "root").await;
    let mut devices =
        [Browser::signed_in(&app, "phone", "ann").await, Browser::signed_in(&app, "laptop", "ann").await];
    for device in &mut devices {
        assert_eq!(device.get("/reports").await, StatusCode::FORBIDDEN);
        let own = device.send("PUT", "/users/ann", r#"["admin"]"#, &JSON).await;
        assert_eq!(own.status(), StatusCode::FORBIDDEN);
    }
    let given = root.send("PUT", "/users/ann", r#"["analyst"]"#, &JSON).await;
    assert_eq!(given.status(), StatusCode::NO_CONTENT);
    for device in &mut devices {
        assert_eq!(device.get("/reports").await, StatusCode::OK);
    }
    assert_eq!(root.send("PUT", "/users/ann", "null", &JSON).await.status(), StatusCode::NO_CONTENT);
    for device in &mut devices {
        assert_eq!(device.get("/reports").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(Browser::new(&app, "phone").post("/login", "ann").await, StatusCode::FORBIDDEN);
    // Locked in the directory only: the hook refuses the next renewal.
    let mut bob = Browser::signed_in(&app, "phone", "bob").await;
    users.write().await.insert("bob".to_owned(), None);
    assert_eq!(bob.get("/reports").await, StatusCode::FORBIDDEN);
    clock.advance(5 * MINUTE);
    assert_eq!(bob.get("/reports").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn devices_are_listed_and_revoked_and_a_new_password_revokes_the_others() {
    let (builder, clock) = sessions();
    let app = devices::app(builder).expect("a valid policy");
    let mut opened = Vec::new();
    for device in ["phone", "tablet", "laptop", "desk"] {
        clock.advance(MINUTE);
        opened.push(Browser::signed_in(&app, device, "name=ann").await);
    }
    let [phone, tablet, laptop, desk] = &mut opened[..] else { unreachable!() };
    assert_eq!(phone.get("/devices").await, StatusCode::UNAUTHORIZED, "the cap revoked the oldest of four");
    let listed = json(desk.send("GET", "/devices", "", &[]).await).await;
    let from: Vec<_> = listed.as_array().expect("a list").iter().map(|device| &device["from"]).collect();
    assert_eq!(from, ["tablet", "laptop", "desk"]);
    assert_eq!(listed[2]["this_one"], true);

    let path = format!("/devices/{}", listed[0]["id"].as_str().expect("an id"));
    let mut stranger = Browser::signed_in(&app, "desk", "name=bob&remember=true").await;
    assert_eq!(text(stranger.send("DELETE", &path, "", &[]).await).await, "It had ended.\n");
    assert_eq!(tablet.get("/devices").await, StatusCode::OK);
    assert_eq!(text(desk.send("DELETE", &path, "", &[]).await).await, "Revoked.\n");
    assert_eq!(tablet.get("/devices").await, StatusCode::UNAUTHORIZED);

    assert_eq!(desk.post("/password", "new").await, StatusCode::OK);
    assert_eq!(laptop.get("/devices").await, StatusCode::UNAUTHORIZED);
    assert_eq!(desk.get("/devices").await, StatusCode::OK);
    assert_eq!(text(desk.send("POST", "/devices/revoke-others", "", &[]).await).await, "0 revoked.\n");
    let own = format!("/devices/{}", listed[2]["id"].as_str().expect("an id"));
    let gone = desk.send("DELETE", &own, "", &[]).await;
    assert_eq!(gone.headers().get_all(header::SET_COOKIE).iter().count(), 2, "the cookies are removed");
    assert_eq!(desk.get("/devices").await, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.get("/devices").await, StatusCode::OK);
}

#[tokio::test]
async fn dangerous_action_requires_a_recent_reauthentication_a_second_factor_and_the_same_browser() {
    let (builder, clock) = sessions();
    let app = step_up::app(builder).expect("a valid policy");
    let mut ann = Browser::signed_in(&app, "Firefox", "ann").await;
    assert_eq!(ann.post("/second-factor", "").await, StatusCode::OK, "the sign-in counts");
    assert_eq!(text(ann.send("GET", "/account", "", &[]).await).await, "ann, second factor: true.\n");
    clock.advance(2 * MINUTE);
    let wants = async |browser: &mut Browser, method: &str, path: &str, what: &str| {
        let refused = browser.send(method, path, "", &[]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        let kind = json(refused).await["type"].clone();
        assert!(kind.as_str().is_some_and(|kind| kind.ends_with(what)), "{kind}");
    };
    wants(&mut ann, "DELETE", "/account", "#variant.ReauthenticationRequired").await;
    assert_eq!(ann.post("/reauthenticate", "password=wrong").await, StatusCode::FORBIDDEN);
    assert_eq!(ann.post("/reauthenticate", "password=swordfish").await, StatusCode::OK);
    assert_eq!(ann.delete("/account").await, StatusCode::OK);
    wants(&mut ann, "POST", "/transfer", "#variant.MethodRequired").await;
    assert_eq!(ann.post("/reauthenticate", "password=swordfish&code=123456").await, StatusCode::OK);
    assert_eq!(ann.post("/transfer", "").await, StatusCode::OK);

    // A copy of the session in another browser: a re-authentication in the first does not count there.
    let mut elsewhere = ann.copied_by("curl");
    clock.advance(5 * MINUTE);
    assert_eq!(ann.post("/reauthenticate", "password=swordfish").await, StatusCode::OK);
    wants(&mut elsewhere, "DELETE", "/account", "#variant.ReauthenticationRequired").await;
    assert_eq!(elsewhere.get("/account").await, StatusCode::OK, "the session stays valid");
    assert_eq!(ann.delete("/account").await, StatusCode::OK);
    assert_eq!(elsewhere.post("/reauthenticate", "password=swordfish").await, StatusCode::OK);
    assert_eq!(elsewhere.delete("/account").await, StatusCode::OK);
}

#[tokio::test]
async fn event_stream_ends_with_its_session() {
    let (builder, _clock) = sessions();
    let app = live::app(builder).expect("a valid policy");
    let mut ann = Browser::signed_in(&app, "Firefox", "ann").await;
    let mut other = Browser::signed_in(&app, "curl", "ann").await;
    let mut stream = ann.send("GET", "/events", "", &[]).await.into_body();
    let mut others = other.send("GET", "/events", "", &[]).await.into_body();
    for stream in [&mut stream, &mut others] {
        let first = stream.frame().await.expect("a frame").expect("no error");
        assert_eq!(first.into_data().expect("data"), "event: tick\ndata: tick\n\n");
    }
    assert_eq!(ann.post("/logout", "").await, StatusCode::OK);
    let rest = tokio::time::timeout(MINUTE, stream.collect()).await.expect("an end");
    let rest = rest.expect("no error").to_bytes();
    assert!(rest.ends_with(b"event: signed-out\ndata: Sign in again.\n\n"), "{rest:?}");
    let next = others.frame().await.expect("a frame").expect("no error");
    assert_eq!(next.into_data().expect("data"), "event: tick\ndata: tick\n\n", "the other stream continues");
}

#[tokio::test]
async fn poll_is_served_and_does_not_extend_its_session() {
    let (builder, clock) = sessions();
    let app = polling::app(builder).expect("a valid policy");
    let mut person = Browser::signed_in(&app, "Firefox", "ann").await;
    let mut page = Browser::signed_in(&app, "Firefox", "ann").await;
    let poll = async |page: &mut Browser| {
        let answer = page.send("GET", "/news", "", &[("x-poll", "1")]).await;
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
        answer.status()
    };
    for minute in 0..30 {
        assert_eq!(poll(&mut page).await, StatusCode::OK, "after {minute} min");
        assert_eq!(poll(&mut person).await, StatusCode::OK);
        assert_eq!(person.get("/news").await, StatusCode::OK);
        clock.advance(MINUTE);
    }
    assert_eq!(poll(&mut page).await, StatusCode::UNAUTHORIZED);
    assert_eq!(poll(&mut person).await, StatusCode::OK);
}

#[tokio::test]
async fn only_reuse_alerts_the_operator() {
    let (builder, clock) = sessions();
    let (alerts, mut inbox) = mpsc::channel(1000);
    let app = watching::app(builder, alerts).expect("a valid policy");
    let mut ann = Browser::signed_in(&app, "Firefox", "ann").await;
    let mut attacker = ann.copied_by("curl");
    // Rotated, confirmed, and rotated again.
    for _ in 0..3 {
        clock.advance(6 * MINUTE);
        assert_eq!(ann.get("/").await, StatusCode::OK);
        assert_eq!(ann.get("/").await, StatusCode::OK);
    }
    assert_eq!(Browser::new(&app, "anonymous").get("/").await, StatusCode::UNAUTHORIZED);
    assert!(inbox.try_recv().is_err(), "no alert so far");
    assert_eq!(attacker.get("/").await, StatusCode::UNAUTHORIZED);
    let alert = inbox.try_recv().expect("an alert");
    assert_eq!(alert.kind, EventKind::ReuseDetected);
    assert!(watching::describe(&alert).starts_with("WAKE UP: a copied token of ann"));
    assert!(inbox.try_recv().is_err(), "once");
    assert_eq!(ann.get("/").await, StatusCode::UNAUTHORIZED, "the session ended for both");
}

#[tokio::test]
async fn session_lasts_as_long_as_its_sign_in_requests_and_the_builder_allows() {
    let (builder, clock) = sessions();
    let app = lifetimes::app(builder).expect("a valid policy");
    let mut usual = Browser::signed_in(&app, "usual", "name=ann").await;
    let mut brief = Browser::signed_in(&app, "brief", "name=ann&stay=briefly").await;
    let mut remembered = Browser::new(&app, "remembered");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let cookies = remembered.send("POST", "/login", "name=ann&stay=remembered", &form).await;
    for line in cookies.headers().get_all(header::SET_COOKIE) {
        assert!(line.to_str().is_ok_and(|line| line.contains("Max-Age=")), "{line:?}");
    }

    clock.advance(15 * MINUTE);
    assert_eq!(brief.get("/").await, StatusCode::UNAUTHORIZED);
    clock.advance(40 * MINUTE);
    assert_eq!(usual.get("/").await, StatusCode::OK);
    clock.advance(60 * MINUTE);
    assert_eq!(usual.get("/").await, StatusCode::UNAUTHORIZED);
    assert_eq!(remembered.get("/").await, StatusCode::OK);

    let mut busy = Browser::signed_in(&app, "usual", "name=ann").await;
    for _ in 0..47 {
        clock.advance(30 * MINUTE);
        assert_eq!(busy.get("/").await, StatusCode::OK);
    }
    clock.advance(30 * MINUTE);
    assert_eq!(busy.get("/").await, StatusCode::UNAUTHORIZED, "at most a day");
    assert_eq!(remembered.get("/").await, StatusCode::OK);

    let (builder, _clock) = sessions::<()>();
    let refused = builder.timing(|_| Timing::aal2().idle_timeout(5 * MINUTE)).build();
    assert!(refused.is_err_and(|why| why.to_string().contains("or sessions in constant use expire")));
}

#[cfg(feature = "vault")]
#[tokio::test]
async fn provider_tokens_are_renewed_and_end_with_the_session() {
    let (builder, clock) = sessions();
    let upstream = provider_tokens::Upstream::new(clock.clone());
    let app = provider_tokens::app(builder, upstream.clone()).expect("a valid policy");
    let mut ann = Browser::signed_in(&app, "desk", "ann").await;
    let mut copy = ann.copied_by("desk");
    for number in [0, 1, 1, 2] {
        let seen = text(ann.send("GET", "/repositories", "", &[]).await).await;
        assert_eq!(seen, format!("The repositories, as access-{number} sees them.\n"));
        clock.advance(Duration::from_secs(if number == 1 { 8 } else { 11 }));
    }
    assert_eq!(upstream.answers.load(std::sync::atomic::Ordering::SeqCst), 3);
    assert_eq!(ann.post("/logout", "").await, StatusCode::OK);
    assert_eq!(copy.get("/repositories").await, StatusCode::UNAUTHORIZED);
}
