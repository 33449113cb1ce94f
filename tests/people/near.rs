//! Short words for what many of these tests ask.

use axum::http::StatusCode;
use tower_sliding_sessions::{Session, SessionId, store::SessionKey, store::Subject};

use crate::support::{ACCESS, Answer, Browser, Instance, Profile, REFRESH, TTL, World, claims_of, idle};

pub(crate) type TheSession = Session<Profile>;

/// The roles that the handler saw.
pub(crate) fn role(answer: &Answer) -> &str {
    answer.header("x-role").unwrap()
}

/// The role that the browser's access token has.
pub(crate) fn role_in_jar(browser: &Browser) -> String {
    claims_of(browser.value(ACCESS).unwrap())["ext"]["role"].as_str().unwrap().to_owned()
}

/// The generation of the token that a response sets a cookie to.
pub(crate) fn generation(answer: &Answer, name: &str) -> u64 {
    claims_of(answer.cookie(name).unwrap())["gen"].as_u64().unwrap()
}

pub(crate) fn id(browser: &Browser) -> SessionId {
    claims_of(browser.value(REFRESH).unwrap())["sid"].as_str().unwrap().parse().unwrap()
}

/// What the store calls a browser's session.
pub(crate) fn key(browser: &Browser, subject: &str) -> SessionKey {
    SessionKey { subject: Subject { realm: "sessions".into(), name: subject.into() }, id: id(browser) }
}

/// Whether the cookies open anything, what the answer sets unheard.
pub(crate) async fn is_in(instance: &Instance, browser: &Browser) -> bool {
    instance.answer(browser.get("/me")).await.ok()
}

/// The session itself, as a handler got it.
pub(crate) async fn session_of(instance: &Instance, browser: &Browser) -> Session<Profile> {
    let answer = instance.answer(browser.get("/session")).await;
    answer.0.extensions().get::<Session<Profile>>().unwrap().clone()
}

/// The problem that a body names: what its type ends with.
pub(crate) async fn problem(answer: Answer) -> String {
    let body: serde_json::Value = serde_json::from_str(&answer.text().await).unwrap();
    body["type"].as_str().unwrap().split_once("#variant.").unwrap().1.to_owned()
}

/// It is the answer that a request without any cookie gets.
pub(crate) async fn is_nobodys(instance: &Instance, answer: Answer) {
    assert!(answer.touches_no_cookie(), "{answer:?}");
    let nobodys = instance.answer(Browser::new().get("/me")).await;
    assert_eq!(nobodys.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((nobodys.status(), nobodys.headers()), (answer.status(), answer.headers()));
    assert_eq!(nobodys.text().await, answer.text().await);
}

/// The browser goes on for a while, on one instance and the other, and is never signed out.
pub(crate) async fn goes_on(world: &World, two: &Instance, browser: &mut Browser) {
    for seconds in [1, 50, 70, 250, 300, 300, 301, 45, 60, 300] {
        world.pass(seconds);
        for instance in [&world.one, two] {
            let answer = browser.visit(instance, "/me").await;
            assert!(answer.ok(), "{answer:?}");
        }
        idle().await;
    }
}

/// `path` is asked for, and answered, while a request that was renewed by `renewing` still runs. What it
/// then answers touches no cookie.
pub(crate) async fn overtakes_a_renewed_response(
    world: &World,
    renewing: &Instance,
    browser: &mut Browser,
    path: &str,
) {
    world.pass(TTL);
    let slow = renewing.accept(browser.get("/slow"));
    renewing.door.reached().await;
    world.pass(1);
    assert!(browser.submit(&world.one, path).await.ok());
    idle().await;
    world.pass(5);
    renewing.door.open();
    let answer = slow.await.unwrap();
    assert!(answer.ok() && answer.touches_no_cookie(), "{answer:?}");
    browser.receive(&answer);
}
