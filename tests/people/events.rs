//! One event for each decision, under a stable name.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use tower_sliding_sessions::{
    Event, EventKind, InvalidToken, OriginVerdict, Renewed, Severity, protocol::Refusal, store::Cap,
};

use crate::{
    directory::{Directory, Says},
    near::id,
    origin::{placed, submit_from, visit_from},
    support::{ACCESS, Browser, GRACE, REFRESH, TTL, Trouble, World, idle},
};

/// A position in a world's events, to read those that came later.
struct EventCursor(usize);

type Outcomes = Vec<(&'static str, Option<&'static str>)>;

impl EventCursor {
    async fn since(&mut self, world: &World) -> Outcomes {
        idle().await;
        let events = world.events();
        let outcomes =
            events.get(self.0..).unwrap().iter().map(|kind| (kind.name(), kind.outcome())).collect();
        self.0 = events.len();
        outcomes
    }
}

fn plain(name: &'static str) -> Outcomes {
    vec![(name, None)]
}

fn one(name: &'static str, outcome: &'static str) -> Outcomes {
    vec![(name, Some(outcome))]
}

#[tokio::test]
async fn each_step_is_reported_by_one_event() {
    let directory = Directory::default();
    let hook = directory.clone();
    let place = placed(OriginVerdict::StepUp);
    let world = World::tuned(move |builder| place(hook.of(builder)).max_sessions(Cap::Refuse(2)));
    let (one_, mut events) = (&world.one, EventCursor(0));

    let mut ann = Browser::new();
    assert!(submit_from(&mut ann, "home", one_, "/login?name=ann").await.ok());
    assert_eq!(events.since(&world).await, plain("session_created"));
    assert!(visit_from(&mut ann, "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, [], "nothing was decided");

    let copied = ann.clone();
    world.pass(TTL);
    assert!(visit_from(&mut ann, "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, one("session_renewed", "rotated"));
    assert!(visit_from(&mut copied.clone(), "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, one("session_renewed", "predecessor_served"));
    ann.lose(ACCESS);
    assert!(visit_from(&mut ann, "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, one("session_renewed", "confirmed"));
    ann.lose(ACCESS);
    assert!(visit_from(&mut ann, "home", one_, "/poll").await.ok());
    assert_eq!(events.since(&world).await, one("session_renewed", "reissued"));
    ann.lose(ACCESS);
    assert!(visit_from(&mut ann, "cafe", one_, "/me").await.ok());
    let elsewhere = ("session_origin_changed", Some("step_up"));
    assert_eq!(events.since(&world).await, [("session_renewed", Some("reissued")), elsewhere]);

    world.pass(1);
    assert!(submit_from(&mut ann, "home", one_, "/profile?role=boss").await.ok());
    assert_eq!(events.since(&world).await, plain("session_claims_updated"));
    ann.lose(ACCESS);
    assert!(submit_from(&mut ann, "home", one_, "/sudo?by=pwd").await.ok());
    let reauthentication = ("authn_reauthenticated", None);
    assert_eq!(events.since(&world).await, [("session_renewed", Some("reissued")), reauthentication]);
    one_.sessions.mark_stale("ann").await.unwrap();
    assert_eq!(events.since(&world).await, plain("session_marked_stale"));

    directory.say("ann", Says::Fail);
    ann.lose(ACCESS);
    assert!(!visit_from(&mut ann, "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, plain("session_reload_failed"));
    directory.role("ann", &"x".repeat(4000));
    world.pass(1);
    assert!(visit_from(&mut ann, "home", one_, "/me").await.ok());
    let renewed = ("session_renewed", Some("reissued"));
    assert_eq!(events.since(&world).await, [renewed, ("session_cookie_too_large", None)]);
    world.store.trouble("advance", Trouble::Fail);
    assert!(!visit_from(&mut ann, "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, one("session_store_failed", "advance"));
    world.store.recover();

    directory.say("ann", Says::Keep);
    for expected in [plain("session_created"), plain("excess_sessions_exceeded")] {
        submit_from(&mut Browser::new(), "home", one_, "/login?name=ann").await;
        assert_eq!(events.since(&world).await, expected);
    }
    directory.say("ann", Says::End("locked"));
    assert!(!visit_from(&mut ann, "home", one_, "/me").await.ok());
    let outcomes = events.since(&world).await;
    let refused = ("session_refused", Some("revoked_by_application"));
    assert_eq!(outcomes, [("session_revoked_by_application", None), ("authn_token_revoked", None), refused]);
    directory.say("ann", Says::Keep);
    assert!(!visit_from(&mut ann, "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, one("session_refused", "revoked"));
    one_.sessions.revoke_all("ann").await.unwrap();
    assert_eq!(events.since(&world).await, plain("authn_token_revoked"));

    let mut bob = Browser::new();
    submit_from(&mut bob, "home", one_, "/login?name=bob").await;
    let attacker = bob.clone();
    world.pass(TTL);
    assert!(visit_from(&mut bob, "home", one_, "/me").await.ok());
    assert!(visit_from(&mut bob, "home", one_, "/me").await.ok());
    idle().await;
    world.pass(GRACE + 1);
    events.since(&world).await;
    assert!(!visit_from(&mut attacker.clone(), "home", one_, "/me").await.ok());
    assert_eq!(events.since(&world).await, [("authn_token_reuse", None), ("session_refused", Some("reuse"))]);
    bob.plant(ACCESS, "x");
    bob.plant(REFRESH, "y");
    assert!(!visit_from(&mut bob, "home", one_, "/me").await.ok());
    let bad = [("access_token_invalid", Some("malformed")), ("refresh_token_invalid", Some("malformed"))];
    assert_eq!(events.since(&world).await, bad);
    one_.sessions.revoke_everything().await.unwrap();
    assert_eq!(events.since(&world).await, plain("session_everything_revoked"));
    let cross_site = ann.post("/me").with("sec-fetch-site", Some("cross-site"));
    assert!(!one_.answer(cross_site).await.ok());
    assert_eq!(events.since(&world).await, plain("malicious_csrf"));
}

#[tokio::test]
async fn event_names_user_and_session_only_as_far_as_a_log_may_know() {
    let recorded = Arc::<Mutex<Vec<Event>>>::default();
    let log = recorded.clone();
    let world = World::tuned(move |builder| {
        let log = log.clone();
        builder.realm("shop").on_event(move |event| log.lock().unwrap().push(event.clone()))
    });
    let mut browser = world.signed_in("ann").await;
    assert!(browser.submit(&world.one, "/profile?role=boss").await.ok());
    world.pass(1);
    assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.one.sessions.mark_stale("ann").await.unwrap();
    let recorded = recorded.lock().unwrap();
    let names: Vec<_> = recorded.iter().map(|event| event.kind.name()).collect();
    let expected = [
        "session_created",
        "session_claims_updated",
        "session_renewed",
        "authn_reauthenticated",
        "session_renewed",
    ];
    assert_eq!(names.get(..5).unwrap(), expected);
    for event in recorded.iter() {
        assert_eq!((&*event.realm, event.subject.as_deref()), ("shop", Some("ann")));
        let of_the_session = event.kind != EventKind::MarkedStale;
        assert_eq!(event.session, of_the_session.then(|| id(&browser).tag()));
    }
}

#[test]
fn event_names_and_outcomes_are_stable_and_unique() {
    let mut seen = HashSet::new();
    let words = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    for (kind, name, outcome) in [
        (EventKind::SignedIn, "session_created", None),
        (EventKind::Renewed(Renewed::FastForwarded), "session_renewed", Some("fast_forwarded")),
        (EventKind::Refused(Refusal::Expired), "session_expired", Some("expired")),
        (EventKind::Refused(Refusal::NoToken), "session_refused", Some("no_token")),
        (EventKind::Refused(Refusal::OriginRefused), "session_refused", Some("origin_refused")),
        (
            EventKind::Refused(Refusal::RevokedByApplication),
            "session_refused",
            Some("revoked_by_application"),
        ),
        (EventKind::Refused(Refusal::UnreadableClaims), "session_refused", Some("unreadable_claims")),
        (EventKind::AccessTokenInvalid(InvalidToken::Signature), "access_token_invalid", Some("signature")),
        (EventKind::RefreshTokenInvalid(InvalidToken::Header), "refresh_token_invalid", Some("header")),
        (EventKind::ReuseDetected, "authn_token_reuse", None),
        (EventKind::LostWriteRepaired, "session_lost_write_repaired", None),
        (EventKind::Revoked { sessions: 3 }, "authn_token_revoked", None),
        (EventKind::EverythingRevoked, "session_everything_revoked", None),
        (EventKind::TooManySessions, "excess_sessions_exceeded", None),
        (EventKind::RevokedByApplication { reason: "locked".into() }, "session_revoked_by_application", None),
        (EventKind::ReloadFailed, "session_reload_failed", None),
        (EventKind::ClaimsUpdated, "session_claims_updated", None),
        (EventKind::MarkedStale, "session_marked_stale", None),
        (EventKind::Reauthenticated, "authn_reauthenticated", None),
        (EventKind::OriginChanged(OriginVerdict::Ignore), "session_origin_changed", Some("ignore")),
        (EventKind::OriginChanged(OriginVerdict::Report), "session_origin_changed", Some("report")),
        (EventKind::OriginChanged(OriginVerdict::StepUp), "session_origin_changed", Some("step_up")),
        (EventKind::OriginChanged(OriginVerdict::Refuse), "session_origin_changed", Some("refuse")),
        (
            EventKind::StoreFailed { operation: "advance", why: "unavailable" },
            "session_store_failed",
            Some("advance"),
        ),
        (EventKind::CookieTooLarge, "session_cookie_too_large", None),
    ] {
        assert_eq!((kind.name(), kind.outcome()), (name, outcome), "{kind:?}");
        assert!(words(name) && outcome.is_none_or(words), "{kind:?}");
        assert!(seen.insert((name, outcome)), "{kind:?}");
        let worst = kind == EventKind::ReuseDetected;
        assert_eq!(kind.severity() == Severity::Critical, worst, "{kind:?}");
    }
}
