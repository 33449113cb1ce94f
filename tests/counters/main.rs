//! The feature `metrics`: every event is counted, under stable names and labels.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step must stop the test")]

mod recorder;
#[expect(dead_code, unused_imports, reason = "the flows use the rest")]
#[path = "../flows/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use tower_sliding_sessions::store::Cap;

use self::{
    recorder::Ledger,
    support::{ACCESS, Browser, GRACE, TTL, Trouble, World, idle},
};

async fn story() {
    let world = World::tuned(|builder| builder.realm("shop").max_sessions(Cap::Refuse(1)));
    let mut ann = world.signed_in("ann").await;
    assert!(!Browser::new().submit(&world.one, "/login?name=ann").await.ok());
    let copied = ann.clone();
    world.pass(TTL);
    for _ in 0..3 {
        assert!(world.one.answer(ann.get("/me")).await.ok());
    }
    assert!(ann.visit(&world.one, "/me").await.ok());
    assert!(ann.submit(&world.one, "/profile?role=boss").await.ok());
    assert!(ann.submit(&world.one, "/sudo?by=pwd").await.ok());
    world.store.trouble("advance", Trouble::Fail);
    ann.lose(ACCESS);
    assert!(!ann.visit(&world.one, "/me").await.ok());
    world.store.recover();
    world.pass(1);
    assert!(ann.visit(&world.one, "/me").await.ok());
    idle().await;
    world.pass(GRACE + 1);
    assert!(!world.one.answer(copied.get("/me")).await.ok());
    assert!(!Browser::new().visit(&world.one, "/me").await.ok());
}

#[test]
fn every_event_is_counted_by_name_outcome_and_realm() {
    let ledger = Ledger::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&ledger, || runtime.block_on(story()));
    let line = |event: &str, outcome: &str| {
        format!("sliding_sessions_events_total{{event={event:?},outcome={outcome:?},realm=\"shop\"}}")
    };
    let expected = [
        ("session_created", "", 1),
        ("excess_sessions_exceeded", "", 1),
        ("session_renewed", "rotated", 1),
        ("session_renewed", "predecessor_served", 3),
        // After the update, which makes the next request renew, and after the re-authentication.
        ("session_renewed", "reissued", 2),
        ("session_claims_updated", "", 1),
        ("authn_reauthenticated", "", 1),
        ("session_store_failed", "advance", 1),
        ("authn_token_reuse", "", 1),
        ("session_refused", "reuse", 1),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(event, outcome, n)| (line(event, outcome), n)).collect();
    assert_eq!(ledger.read(), expected);
}
