//! Events as `tracing` records: one record for each event, at the level of its severity, with stable
//! field names.

use tower_sliding_sessions::OriginVerdict;

use crate::{
    near::id,
    origin::{placed, signed_in_at, visit_from},
    scribe,
    support::{TTL, Trouble, World},
};

#[tokio::test]
async fn each_event_is_one_record_with_the_same_fields() {
    let logged = scribe::listen();
    let place = placed(OriginVerdict::Report);
    let world = World::tuned(move |builder| place(builder).realm("shop"));
    let mut browser = signed_in_at(&world, Some("home")).await;
    let tag = id(&browser).tag().to_string();
    world.pass(TTL);
    assert!(visit_from(&mut browser, "cafe", &world.one, "/me").await.ok());
    world.one.sessions.mark_stale("ann").await.unwrap();
    world.one.sessions.revoke_all("ann").await.unwrap();

    let log = logged();
    let line = |event: &str| {
        let field = format!(" event=\"{event}\"");
        let mut lines = log.lines().filter(|line| line.contains(&field));
        let line = lines.next().unwrap_or_else(|| panic!("{event} is not in the log:\n{log}"));
        assert!(lines.next().is_none(), "{event} occurs twice:\n{log}");
        line.to_owned()
    };
    for (event, level, others) in [
        ("session_created", "INFO", format!(" detail=SignedIn realm=\"shop\" session={tag}")),
        (
            "session_renewed",
            "INFO",
            format!(" outcome=\"rotated\" detail=Renewed(Rotated) realm=\"shop\" session={tag}"),
        ),
        (
            "session_origin_changed",
            "WARN",
            format!(" outcome=\"report\" detail=OriginChanged(Report) realm=\"shop\" session={tag}"),
        ),
        ("session_marked_stale", "INFO", " detail=MarkedStale realm=\"shop\"".to_owned()),
        ("authn_token_revoked", "INFO", " detail=Revoked { sessions: 1 } realm=\"shop\"".to_owned()),
    ] {
        let line = line(event);
        assert!(line.starts_with(&format!("{level} tower_sliding_sessions")), "{line}");
        assert!(line.ends_with(&format!(" event=\"{event}\"{others}")), "{line}");
    }
}

#[tokio::test]
async fn failure_is_a_record_with_its_cause_and_an_application_failure_is_an_error() {
    let logged = scribe::listen();
    let world = World::tuned(|builder| {
        builder.readable_cookie("__Host-me", |profile: &crate::support::Profile| {
            assert!(profile.role.is_empty(), "no picture of {}", profile.role);
        })
    });
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    browser.visit(&world.one, "/me").await;
    browser.submit(&world.one, "/login?name=bob&role=clerk").await;
    let log = logged();
    for (level, fields) in [
        (
            "WARN",
            "outcome=\"advance\" detail=StoreFailed { operation: \"advance\", why: \"unavailable\" } realm=\"sessions\" cause=\"the session store is unavailable: simulated outage\"",
        ),
        (
            "ERROR",
            "outcome=\"readable_cookie\" detail=HookPanicked { hook: \"readable_cookie\" } realm=\"sessions\" cause=\"panicked: no picture of clerk\"",
        ),
        (
            "ERROR",
            "detail=ClaimsUnreadable realm=\"sessions\" cause=\"the readable cookie cannot be written as JSON: panicked: no picture of clerk\"",
        ),
    ] {
        let found = log.lines().find(|line| line.ends_with(fields));
        assert!(found.is_some_and(|line| line.starts_with(level)), "{fields} is not in the log:\n{log}");
    }
}

#[tokio::test]
async fn subject_is_in_the_log_only_if_configured() {
    for (include, expected) in [(false, 0), (true, 2)] {
        let logged = scribe::listen();
        let world = World::tuned(move |builder| builder.log_subjects(include));
        let _browser = world.signed_in("ann@example.com").await;
        world.one.sessions.revoke_all("ann@example.com").await.unwrap();
        let log = logged();
        let named = log.lines().filter(|line| line.contains("subject=\"ann@example.com\"")).count();
        assert_eq!(named, expected, "{log}");
        assert_eq!(log.matches("ann@").count(), expected, "{log}");
    }
}
