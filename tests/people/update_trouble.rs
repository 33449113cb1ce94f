//! Claims that cannot be changed: too large, too late, or nobody to write them down.

use axum::http::StatusCode;
use tower_sliding_sessions::{ChangeError, EventKind, RejectionKind, store::StoreError};

use crate::{
    near::{goes_on, is_in, role, session_of},
    support::{Profile, TTL, Trouble, World, idle},
};

fn boss() -> Profile {
    Profile { role: "boss".into() }
}

#[tokio::test]
async fn claims_that_fit_no_cookie_change_nothing() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    let before = browser.clone();
    let path = format!("/profile?role={}", "x".repeat(4000));
    let answer = browser.submit(&world.one, &path).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.rejection(), Some(RejectionKind::ClaimsTooLarge));
    assert_eq!(browser, before);
    assert_eq!(world.store.calls("put_claims"), 0, "it did not get as far as the store");
    assert_eq!(world.count(&EventKind::ClaimsUpdated), 0);
    goes_on(&world, &two, &mut browser).await;
    assert_eq!(role(&browser.visit(&two, "/me").await), "clerk");

    let session = session_of(&world.one, &browser).await;
    let error = session.update(&Profile { role: "x".repeat(4000) }).await.unwrap_err();
    assert!(matches!(error, ChangeError::Claims(_)), "{error}");
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_changed() {
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
        let proof = session.reauthenticate(["pwd"]).await.map(drop).unwrap_err();
        assert!(matches!(proof, ChangeError::Ended), "{how}: {proof}");
        assert!(!is_in(&world.one, &browser).await && !is_in(&two, &browser).await);
        assert_eq!(world.count(&EventKind::ClaimsUpdated) + world.count(&EventKind::Reauthenticated), 0);
    }
}

#[tokio::test]
async fn what_ended_during_the_request_is_answered_as_nobodys() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let late = world.one.accept(browser.post("/profile?role=boss&wait=before"));
    world.one.door.reached().await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    world.one.door.open();
    crate::near::is_nobodys(&world.one, late.await.unwrap()).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_an_error_and_loses_nothing() {
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
            assert_eq!(answer.sets_both(), renewed, "a renewal is one all the same");
            world.store.recover();
            assert_eq!(role(&browser.visit(&two, "/me").await), "clerk");
            assert!(browser.submit(&world.one, path).await.ok(), "it can be tried again");
            idle().await;
            goes_on(&world, &two, &mut browser).await;
        }
    }
}

#[tokio::test]
async fn if_only_the_answer_was_lost_the_new_claims_come_with_the_feed_or_the_next_renewal() {
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
