//! Claims that cannot be changed: too large, too late, or the store is unavailable.

use axum::http::StatusCode;
use tower_sliding_sessions::{ChangeError, EventKind, RejectionKind, store::StoreError};

use crate::{
    near::{is_in, role, session_of, stays_signed_in},
    support::{Profile, TTL, Trouble, World, idle},
};

fn boss() -> Profile {
    Profile { role: "boss".into() }
}

#[tokio::test]
async fn claims_too_large_for_a_cookie_change_nothing() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    let before = browser.clone();
    let path = format!("/profile?role={}", "x".repeat(4000));
    let answer = browser.submit(&world.one, &path).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.rejection(), Some(RejectionKind::ClaimsTooLarge));
    assert_eq!(browser, before);
    assert_eq!(world.store.calls("put_claims"), 0, "it did not reach the store");
    assert_eq!(world.count(&EventKind::ClaimsUpdated), 0);
    stays_signed_in(&world, &two, &mut browser).await;
    assert_eq!(role(&browser.visit(&two, "/me").await), "clerk");

    let session = session_of(&world.one, &browser).await;
    let error = session.update(&Profile { role: "x".repeat(4000) }).await.unwrap_err();
    assert!(matches!(error, ChangeError::Claims(_)), "{error}");
}

#[tokio::test]
async fn ended_session_is_not_changed() {
    for how in ["signed out", "another run", "run out"] {
        let world = World::new();
        let two = world.instance();
        let browser = world.signed_in("ann").await;
        let session = session_of(&world.one, &browser).await;
        match how {
            "signed out" => drop(world.one.sessions.revoke_all("ann").await.unwrap()),
            "another run" => drop(two.sessions.revoke_everything().await.unwrap()),
            _ => world.pass(crate::support::IDLE),
        }
        idle().await;
        let update = session.update(&boss()).await.map(drop).unwrap_err();
        assert!(matches!(update, ChangeError::Ended), "{how}: {update}");
        let reauthentication = session.reauthenticate(["pwd"]).await.map(drop).unwrap_err();
        assert!(matches!(reauthentication, ChangeError::Ended), "{how}: {reauthentication}");
        assert!(!is_in(&world.one, &browser).await && !is_in(&two, &browser).await);
        assert_eq!(world.count(&EventKind::ClaimsUpdated) + world.count(&EventKind::Reauthenticated), 0);
    }
}

#[tokio::test]
async fn session_ended_during_an_update_gets_the_anonymous_response() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let late = world.one.accept(browser.post("/profile?role=boss&wait=before"));
    world.one.gate.reached().await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    world.one.gate.open();
    crate::near::is_anonymous(&world.one, late.await.unwrap()).await;
}

#[tokio::test]
async fn outage_fails_a_change_and_loses_nothing() {
    for (path, operation) in [
        ("/profile?role=boss", "put_claims"),
        ("/sudo?by=pwd", "record_reauthentication"),
        ("/sudo?by=pwd", "mark_stale"),
    ] {
        for renewed in [false, true] {
            let world = World::new();
            let two = world.instance();
            let mut browser = world.signed_in("ann&role=clerk").await;
            world.pass(if renewed { TTL } else { 10 });
            world.store.trouble(operation, Trouble::Fail);
            let answer = browser.submit(&world.one, path).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
            assert_eq!(answer.sets_both(), renewed, "the renewal is still sent");
            world.store.recover();
            assert_eq!(role(&browser.visit(&two, "/me").await), "clerk");
            assert!(browser.submit(&world.one, path).await.ok(), "it can be tried again");
            idle().await;
            stays_signed_in(&world, &two, &mut browser).await;
        }
    }
}

#[tokio::test]
async fn update_whose_store_response_was_lost_applies_by_the_feed_or_the_next_renewal() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    world.pass(10);
    world.store.trouble("put_claims", Trouble::FailAfter);
    let session = session_of(&world.one, &browser).await;
    let error = session.update(&boss()).await.unwrap_err();
    assert!(matches!(error, ChangeError::Store(StoreError::Unavailable(_))), "{error}");
    world.store.recover();
    idle().await;
    world.pass(1);
    for instance in [&world.one, &two] {
        assert_eq!(role(&browser.visit(instance, "/me").await), "boss");
    }
}
