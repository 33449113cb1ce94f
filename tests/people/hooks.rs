//! Hooks that panic or fail: the request goes on, and operators learn why.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use tower_sliding_sessions::{Event, EventKind, OriginVerdict, SessionsBuilder, Severity};

use crate::{
    directory::{Directory, Says},
    support::{Browser, Profile, REFRESH, TTL, Trouble, World, idle},
};

type Heard = Arc<Mutex<Vec<Event>>>;

fn listen(heard: &Heard, builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    let heard = heard.clone();
    builder.on_event(move |event| heard.lock().unwrap().push(event.clone()))
}

/// The world of `tune`, and what its hook is told.
fn heard(tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile> + 'static) -> (World, Heard) {
    let heard = Heard::default();
    let log = heard.clone();
    (World::tuned(move |builder| tune(listen(&log, builder))), heard)
}

/// The causes of the events of this kind.
fn causes(heard: &Heard, kind: &EventKind) -> Vec<String> {
    let heard = heard.lock().unwrap();
    let of_kind = heard.iter().filter(|event| event.kind == *kind);
    of_kind.map(|event| event.cause.as_deref().unwrap_or("none").to_owned()).collect()
}

fn panicked(hook: &'static str) -> EventKind {
    EventKind::HookPanicked { hook }
}

#[tokio::test]
async fn an_event_hook_that_panics_costs_no_request() {
    let world = World::tuned(|builder| builder.on_event(|event| panic!("{} is too much", event.kind.name())));
    let mut browser = world.signed_in("ann").await;
    for _ in 0..3 {
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
    assert!(browser.submit(&world.one, "/logout").await.ok());
    world.one.sessions.revoke_all("ann").await.unwrap();
}

#[tokio::test]
async fn a_claims_hook_that_fails_or_panics_names_its_error_in_the_event() {
    let directory = Directory::default();
    let hook = directory.clone();
    let (world, heard) = heard(move |builder| hook.of(builder));
    let mut browser = world.signed_in("ann").await;
    for says in [Says::Fail, Says::Crash] {
        world.pass(TTL);
        directory.say("ann", says);
        assert_eq!(browser.visit(&world.one, "/me").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let failed = causes(&heard, &EventKind::ReloadFailed);
    assert_eq!(failed, ["the directory is closed", "panicked: the test says so"]);
    assert_eq!(causes(&heard, &panicked("reload_claims")), ["panicked: the test says so"]);
    directory.say("ann", Says::Keep);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn a_store_error_is_in_the_event_with_its_sources() {
    let (world, heard) = heard(|builder| builder);
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kind = EventKind::StoreFailed { operation: "advance", why: "unavailable" };
    assert_eq!(causes(&heard, &kind), ["the session store is unavailable: the test says so"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_late_is_reported_with_the_deadline() {
    let (world, heard) = heard(|builder| builder.store_deadline(std::time::Duration::from_millis(700)));
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Hang);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kind = EventKind::StoreFailed { operation: "advance", why: "late" };
    assert_eq!(causes(&heard, &kind), ["the session store is unavailable: no answer within 700ms"]);
}

#[tokio::test]
async fn an_origin_hook_that_panics_names_no_origin() {
    let (world, heard) = heard(|builder| builder.origin(|_| panic!("no header")));
    let browser = world.signed_in("ann").await;
    assert!(world.one.answer(browser.get("/me")).await.ok());
    assert_eq!(world.one.sessions.list("ann").await.unwrap()[0].origin, None);
    assert_eq!(causes(&heard, &panicked("origin")), ["panicked: no header"]);
}

#[tokio::test]
async fn an_origin_that_cannot_be_compared_is_an_outage_and_no_refusal() {
    let (world, heard) = heard(|builder| {
        let describe = |head: &tower_sliding_sessions::RequestHead<'_>| {
            Some(head.headers.get("x-place")?.to_str().ok()?.to_owned())
        };
        builder.origin(describe).compare_origin(|home, here| match here {
            Some("nowhere") => panic!("no such place"),
            _ => {
                if here == Some(home) {
                    OriginVerdict::Ignore
                } else {
                    OriginVerdict::Refuse
                }
            }
        })
    });
    let mut browser = Browser::new();
    let answer = world.one.answer(browser.post("/login?name=ann").and("x-place", "home")).await;
    browser.receive(&answer);
    world.pass(TTL);
    let answer = world.one.answer(browser.get("/me").and("x-place", "nowhere")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.touches_no_cookie());
    assert_eq!(causes(&heard, &panicked("compare_origin")), ["panicked: no such place"]);
    assert!(world.one.answer(browser.get("/me").and("x-place", "home")).await.ok());
}

#[tokio::test]
async fn a_passive_predicate_that_panics_counts_as_use() {
    let (world, heard) = heard(|builder| builder);
    let layer = world.one.sessions.layer().passive(|_| panic!("not today"));
    let app = axum::Router::new().route("/", axum::routing::get(async || "served")).route_layer(layer);
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let mut instance = world.one.clone();
    instance.app = app;
    let answer = browser.visit(&instance, "/").await;
    assert!(answer.ok() && answer.cookie(REFRESH).is_some());
    assert_eq!(causes(&heard, &panicked("passive")), ["panicked: not today"]);
}

#[tokio::test]
async fn a_readable_cookie_that_fails_refuses_a_sign_in_and_costs_a_renewal_nothing_else() {
    let fails = Arc::new(Mutex::new(false));
    let told = fails.clone();
    let (world, heard) = heard(move |builder| {
        let told = told.clone();
        builder.readable_cookie("__Host-me", move |profile: &Profile| {
            let fails = *told.lock().unwrap();
            assert!(!fails, "the test says so");
            profile.role.clone()
        })
    });
    let mut browser = world.signed_in("ann").await;
    *fails.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
    world.pass(TTL);
    let answer = browser.visit(&world.one, "/me").await;
    assert!(answer.sets_both() && answer.cookie("__Host-me").is_none());
    assert_eq!(causes(&heard, &panicked("readable_cookie")), ["panicked: the test says so"]);
    let unreadable = causes(&heard, &EventKind::ClaimsUnreadable);
    assert_eq!(unreadable, ["the readable cookie cannot be written as JSON: panicked: the test says so"]);
    let answer = Browser::new().submit(&world.one, "/login?name=bob").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(world.one.sessions.list("bob").await.unwrap().is_empty());
}

#[test]
fn what_anybody_can_cause_is_debug_and_what_answers_with_500_is_an_error() {
    use tower_sliding_sessions::{InvalidToken, protocol::Refusal};
    for kind in [
        EventKind::ConflictingCookies,
        EventKind::CrossSiteRefused,
        EventKind::AccessTokenInvalid(InvalidToken::UnknownKey),
        EventKind::RefreshTokenInvalid(InvalidToken::Signature),
        EventKind::Refused(Refusal::NoToken),
        EventKind::Refused(Refusal::BadToken),
        EventKind::Refused(Refusal::CrossSite),
    ] {
        assert_eq!(kind.severity(), Severity::Debug, "{kind:?}");
    }
    for kind in [
        EventKind::CookieTooLarge,
        EventKind::ClaimsUnreadable,
        EventKind::SigningFailed,
        panicked("origin"),
        EventKind::InternalError { operation: "sign_in" },
        EventKind::StoreFailed { operation: "get", why: "corrupt" },
    ] {
        assert_eq!(kind.severity(), Severity::Error, "{kind:?}");
    }
    let away = EventKind::StoreFailed { operation: "get", why: "unavailable" };
    assert_eq!(away.severity(), Severity::Warning);
    assert_eq!(
        EventKind::Refused(Refusal::Claims).severity(),
        Severity::Warning,
        "a deploy signs people out"
    );
}
