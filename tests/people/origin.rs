//! The origin of a session, and its renewal from another origin.

use tower_sliding_sessions::{EventKind, OriginVerdict, RejectionKind, SessionsBuilder, protocol::Refusal};

use crate::{
    near::is_anonymous,
    support::{Answer, Browser, Instance, Profile, REFRESH, TTL, World, idle},
};

/// The header `x-place` is the origin. A request from another place than home gets `verdict`.
pub(crate) fn placed(
    verdict: OriginVerdict,
) -> impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile> + 'static {
    move |builder| {
        builder.origin(|head| Some(head.headers.get("x-place")?.to_str().ok()?.to_owned())).compare_origin(
            move |home, here| if here == Some(home) { OriginVerdict::Ignore } else { verdict },
        )
    }
}

/// A browser that signed in from `place`.
pub(crate) async fn signed_in_at(world: &World, place: Option<&str>) -> Browser {
    let mut browser = Browser::new();
    let answer = world.one.answer(browser.post("/login?name=ann&by=pwd").with("x-place", place)).await;
    assert!(answer.sets_both());
    browser.receive(&answer);
    browser
}

/// Sends a `GET` from a place, and stores the response's cookies.
pub(crate) async fn visit_from(
    browser: &mut Browser,
    place: &str,
    instance: &Instance,
    path: &str,
) -> Answer {
    let answer = instance.answer(browser.get(path).and("x-place", place)).await;
    browser.receive(&answer);
    answer
}

pub(crate) async fn submit_from(
    browser: &mut Browser,
    place: &str,
    instance: &Instance,
    path: &str,
) -> Answer {
    let answer = instance.answer(browser.post(path).and("x-place", place)).await;
    browser.receive(&answer);
    answer
}

#[tokio::test]
async fn origin_is_recorded_at_sign_in_and_stays() {
    let world = World::tuned(placed(OriginVerdict::Report));
    let mut browser = signed_in_at(&world, Some("home")).await;
    world.pass(TTL);
    assert!(visit_from(&mut browser, "cafe", &world.one, "/me").await.ok());
    assert_eq!(world.one.sessions.list("ann").await.unwrap()[0].origin.as_deref(), Some("home"));
}

#[tokio::test]
async fn changed_origin_is_ignored_or_reported_and_served_either_way() {
    for (verdict, expected) in [(OriginVerdict::Ignore, 0), (OriginVerdict::Report, 1)] {
        let world = World::tuned(placed(verdict));
        let mut browser = signed_in_at(&world, Some("home")).await;
        world.pass(TTL);
        assert!(visit_from(&mut browser, "home", &world.one, "/me").await.ok());
        assert_eq!(world.count(&EventKind::OriginChanged(verdict)), 0);
        world.pass(TTL);
        let answer = visit_from(&mut browser, "cafe", &world.one, "/me").await;
        assert!(answer.ok() && answer.sets_access_only());
        assert_eq!(world.count(&EventKind::OriginChanged(verdict)), expected);
        assert!(visit_from(&mut browser, "cafe", &world.one, "/me").await.ok());
        assert_eq!(world.count(&EventKind::OriginChanged(verdict)), expected, "the access token is valid");
    }
}

#[tokio::test]
async fn origin_is_not_compared_while_the_access_token_is_valid() {
    let world = World::tuned(placed(OriginVerdict::Refuse));
    let mut browser = signed_in_at(&world, Some("home")).await;
    world.pass(TTL - 1);
    assert!(visit_from(&mut browser, "cafe", &world.one, "/me").await.ok());
    assert_eq!(world.count(&EventKind::OriginChanged(OriginVerdict::Refuse)), 0);
}

#[tokio::test]
async fn refused_origin_gets_the_anonymous_response_and_the_session_stays_valid_at_home() {
    let world = World::tuned(placed(OriginVerdict::Refuse));
    let two = world.instance();
    let mut browser = signed_in_at(&world, Some("home")).await;
    for round in 1..=4 {
        world.pass(TTL);
        for instance in [&two, &world.one] {
            let copied = browser.clone();
            let answer = instance.answer(copied.get("/me").and("x-place", "cafe")).await;
            assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::OriginRefused)));
            is_anonymous(instance, answer).await;
        }
        assert_eq!(world.count(&EventKind::OriginChanged(OriginVerdict::Refuse)), 2 * round);
        world.pass(100);
        let answer = visit_from(&mut browser, "home", &world.one, "/me").await;
        assert!(answer.ok() && answer.sets_both(), "{answer:?}");
        world.pass(10);
        assert!(visit_from(&mut browser, "home", &two, "/me").await.ok());
        idle().await;
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    assert_eq!(world.count(&EventKind::SignedIn), 1);
}

#[tokio::test]
async fn request_without_an_origin_is_compared_too() {
    let world = World::tuned(placed(OriginVerdict::Refuse));
    let browser = signed_in_at(&world, Some("home")).await;
    world.pass(TTL);
    assert!(!world.one.answer(browser.get("/me")).await.ok());
    assert!(world.one.answer(browser.get("/me").and("x-place", "home")).await.ok());
}

#[tokio::test]
async fn session_without_a_recorded_origin_is_not_compared() {
    let world = World::tuned(placed(OriginVerdict::Refuse));
    let mut browser = signed_in_at(&world, None).await;
    for place in ["home", "cafe"] {
        world.pass(TTL);
        assert!(visit_from(&mut browser, place, &world.one, "/me").await.ok());
        idle().await;
    }
    assert_eq!(world.count(&EventKind::OriginChanged(OriginVerdict::Refuse)), 0);
}

#[tokio::test]
async fn refused_origin_is_anonymous_under_an_optional_layer() {
    let world = World::tuned(placed(OriginVerdict::Refuse));
    let mut browser = signed_in_at(&world, Some("home")).await;
    world.pass(TTL);
    let before = browser.value(REFRESH).map(str::to_owned);
    let answer = visit_from(&mut browser, "cafe", &world.one, "/optional").await;
    assert!(answer.touches_no_cookie());
    assert_eq!(answer.text().await, "null");
    assert_eq!(browser.value(REFRESH).map(str::to_owned), before);
    assert_eq!(visit_from(&mut browser, "home", &world.one, "/optional").await.text().await, "\"ann\"");
}
