//! Hooks that panic or fail: the request is served where possible, and operators learn the cause.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use tower_sliding_sessions::{Event, EventKind, OriginVerdict, SessionsBuilder, Severity};

use crate::{
    directory::{Directory, Says},
    support::{Browser, Profile, REFRESH, TTL, Trouble, World, idle},
};

type Recorded = Arc<Mutex<Vec<Event>>>;

fn listen(recorded: &Recorded, builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    let recorded = recorded.clone();
    builder.on_event(move |event| recorded.lock().unwrap().push(event.clone()))
}

/// A world tuned by `tune`, and the events that its hook receives.
fn recorded(
    tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile> + 'static,
) -> (World, Recorded) {
    let recorded = Recorded::default();
    let log = recorded.clone();
    (World::tuned(move |builder| tune(listen(&log, builder))), recorded)
}

/// The causes of the events of this kind.
fn causes(recorded: &Recorded, kind: &EventKind) -> Vec<String> {
    let recorded = recorded.lock().unwrap();
    let of_kind = recorded.iter().filter(|event| event.kind == *kind);
    of_kind.map(|event| event.cause.as_deref().unwrap_or("none").to_owned()).collect()
}

fn panicked(hook: &'static str) -> EventKind {
    EventKind::HookPanicked { hook }
}

#[tokio::test]
async fn panicking_event_hook_fails_no_request() {
    let world =
        World::tuned(|builder| builder.on_event(|event| panic!("{} was not expected", event.kind.name())));
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
async fn failed_or_panicking_claims_hook_names_its_error_in_the_event() {
    let directory = Directory::default();
    let hook = directory.clone();
    let (world, recorded) = recorded(move |builder| hook.of(builder));
    let mut browser = world.signed_in("ann").await;
    for says in [Says::Fail, Says::Crash] {
        world.pass(TTL);
        directory.say("ann", says);
        assert_eq!(browser.visit(&world.one, "/me").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let failed = causes(&recorded, &EventKind::ReloadFailed);
    assert_eq!(failed, ["the directory is unavailable", "panicked: simulated panic"]);
    assert_eq!(causes(&recorded, &panicked("reload_claims")), ["panicked: simulated panic"]);
    directory.say("ann", Says::Keep);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn store_error_is_in_the_event_with_its_sources() {
    let (world, recorded) = recorded(|builder| builder);
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kind = EventKind::StoreFailed { operation: "advance", why: "unavailable" };
    assert_eq!(causes(&recorded, &kind), ["the session store is unavailable: simulated outage"]);
}

#[tokio::test(start_paused = true)]
async fn store_timeout_is_reported_with_the_deadline() {
    let (world, recorded) = recorded(|builder| builder.store_deadline(std::time::Duration::from_millis(700)));
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Hang);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kind = EventKind::StoreFailed { operation: "advance", why: "late" };
    assert_eq!(causes(&recorded, &kind), ["the session store is unavailable: no answer within 700ms"]);
}

#[tokio::test]
async fn panicking_origin_hook_records_no_origin() {
    let (world, recorded) = recorded(|builder| builder.origin(|_| panic!("no header")));
    let browser = world.signed_in("ann").await;
    assert!(world.one.answer(browser.get("/me")).await.ok());
    assert_eq!(world.one.sessions.list("ann").await.unwrap()[0].origin, None);
    assert_eq!(causes(&recorded, &panicked("origin")), ["panicked: no header"]);
}

#[tokio::test]
async fn origin_that_cannot_be_compared_is_an_outage_and_no_refusal() {
    let (world, recorded) = recorded(|builder| {
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
    assert_eq!(causes(&recorded, &panicked("compare_origin")), ["panicked: no such place"]);
    assert!(world.one.answer(browser.get("/me").and("x-place", "home")).await.ok());
}

#[tokio::test]
async fn panicking_passive_predicate_counts_as_use() {
    let (world, recorded) = recorded(|builder| builder);
    let layer = world.one.sessions.layer().passive(|_| panic!("simulated panic"));
    let app = axum::Router::new().route("/", axum::routing::get(async || "served")).route_layer(layer);
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let mut instance = world.one.clone();
    instance.app = app;
    let answer = browser.visit(&instance, "/").await;
    assert!(answer.ok() && answer.cookie(REFRESH).is_some());
    assert_eq!(causes(&recorded, &panicked("passive")), ["panicked: simulated panic"]);
}

#[tokio::test]
async fn failing_readable_cookie_refuses_a_sign_in_and_only_itself_in_a_renewal() {
    let fails = Arc::new(Mutex::new(false));
    let failing = fails.clone();
    let (world, recorded) = recorded(move |builder| {
        let failing = failing.clone();
        builder.readable_cookie("__Host-me", move |profile: &Profile| {
            let fails = *failing.lock().unwrap();
            assert!(!fails, "simulated panic");
            profile.role.clone()
        })
    });
    let mut browser = world.signed_in("ann").await;
    *fails.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
    world.pass(TTL);
    let answer = browser.visit(&world.one, "/me").await;
    assert!(answer.sets_both() && answer.cookie("__Host-me").is_none());
    assert_eq!(causes(&recorded, &panicked("readable_cookie")), ["panicked: simulated panic"]);
    let unreadable = causes(&recorded, &EventKind::ClaimsUnreadable);
    assert_eq!(unreadable, ["the readable cookie cannot be written as JSON: panicked: simulated panic"]);
    let answer = Browser::new().submit(&world.one, "/login?name=bob").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(world.one.sessions.list("bob").await.unwrap().is_empty());
}

#[test]
fn events_any_client_can_cause_are_debug_and_those_with_status_500_are_errors() {
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
    let unavailable = EventKind::StoreFailed { operation: "get", why: "unavailable" };
    assert_eq!(unavailable.severity(), Severity::Warning);
    assert_eq!(
        EventKind::Refused(Refusal::UnreadableClaims).severity(),
        Severity::Warning,
        "a deployment signs users out"
    );
}
