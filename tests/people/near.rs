//! Helpers that many of these tests share.

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

/// The generation in the token that a response sets as a cookie.
pub(crate) fn generation(answer: &Answer, name: &str) -> u64 {
    claims_of(answer.cookie(name).unwrap())["gen"].as_u64().unwrap()
}

pub(crate) fn id(browser: &Browser) -> SessionId {
    SessionId::decode(claims_of(browser.value(REFRESH).unwrap())["sid"].as_str().unwrap()).unwrap()
}

/// The key of a browser's session in the store.
pub(crate) fn key(browser: &Browser, subject: &str) -> SessionKey {
    SessionKey { subject: Subject { realm: "sessions".into(), name: subject.into() }, id: id(browser) }
}

/// Whether the cookies are accepted. The cookies of the response are ignored.
pub(crate) async fn is_in(instance: &Instance, browser: &Browser) -> bool {
    instance.answer(browser.get("/me")).await.ok()
}

/// The session, as a handler extracts it.
pub(crate) async fn session_of(instance: &Instance, browser: &Browser) -> Session<Profile> {
    let answer = instance.answer(browser.get("/session")).await;
    answer.0.extensions().get::<Session<Profile>>().unwrap().clone()
}

/// The last segment of the problem type in a body.
pub(crate) async fn problem(answer: Answer) -> String {
    let body: serde_json::Value = serde_json::from_str(&answer.text().await).unwrap();
    body["type"].as_str().unwrap().split_once("#variant.").unwrap().1.to_owned()
}

/// It is the response to a request without any cookie.
pub(crate) async fn is_anonymous(instance: &Instance, answer: Answer) {
    assert!(answer.touches_no_cookie(), "{answer:?}");
    let anonymous = instance.answer(Browser::new().get("/me")).await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((anonymous.status(), anonymous.headers()), (answer.status(), answer.headers()));
    assert_eq!(anonymous.text().await, answer.text().await);
}

/// The browser uses both instances for a while, and is never signed out.
pub(crate) async fn stays_signed_in(world: &World, two: &Instance, browser: &mut Browser) {
    for seconds in [1, 50, 70, 250, 300, 300, 301, 45, 60, 300] {
        world.pass(seconds);
        for instance in [&world.one, two] {
            let answer = browser.visit(instance, "/me").await;
            assert!(answer.ok(), "{answer:?}");
        }
        idle().await;
    }
}

/// The request for `path` is answered while an earlier request, renewed by `renewing`, still runs. The
/// response of the earlier request then sets no cookie.
pub(crate) async fn overtakes_a_renewed_response(
    world: &World,
    renewing: &Instance,
    browser: &mut Browser,
    path: &str,
) {
    world.pass(TTL);
    let slow = renewing.accept(browser.get("/slow"));
    renewing.gate.reached().await;
    world.pass(1);
    assert!(browser.submit(&world.one, path).await.ok());
    idle().await;
    world.pass(5);
    renewing.gate.open();
    let answer = slow.await.unwrap();
    assert!(answer.ok() && answer.touches_no_cookie(), "{answer:?}");
    browser.receive(&answer);
}
