//! Changes between the start of an operation and the time the store has it.

use axum::http::StatusCode;
use tower_sliding_sessions::RejectionKind;

use crate::{
    directory::{Directory, Says},
    near::{role, session_of},
    support::{ACCESS, Browser, Gate, Profile, Trouble, World, idle},
};

#[tokio::test]
async fn user_locked_during_the_sign_in_is_not_signed_in() {
    for replaces in [false, true] {
        let directory = Directory::default();
        let world = directory.world();
        let browser = if replaces { world.signed_in("ann").await } else { Browser::new() };
        let gate = Gate::closed();
        world.store.trouble("create", Trouble::Before(gate.clone()));
        let signing_in = world.one.accept(browser.post("/login?name=ann"));
        gate.reached().await;
        directory.say("ann", Says::End("locked"));
        assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), usize::from(replaces));
        gate.open();
        let answer = signing_in.await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(answer.rejection(), Some(RejectionKind::Forbidden));
        assert!(answer.touches_no_cookie());
        assert!(world.one.sessions.list("ann").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn roles_changed_during_a_sign_in_are_in_the_new_session() {
    let directory = Directory::default();
    let world = directory.world();
    let gate = Gate::closed();
    world.store.trouble("create", Trouble::Before(gate.clone()));
    let mut browser = Browser::new();
    let signing_in = world.one.accept(browser.post("/login?name=ann&role=boss"));
    gate.reached().await;
    directory.role("ann", "clerk");
    gate.open();
    browser.receive(&signing_in.await.unwrap());
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
}

#[tokio::test]
async fn sign_in_succeeds_although_the_claims_hook_fails() {
    let directory = Directory::default();
    directory.say("ann", Says::Fail);
    let world = directory.world();
    let mut browser = world.signed_in("ann&role=clerk").await;
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
}

#[tokio::test]
async fn renewal_during_a_change_does_not_undo_it() {
    for operation in ["put_claims", "record_reauthentication"] {
        let world = World::new();
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(100);
        let session = session_of(&world.one, &browser).await;
        let gate = Gate::closed();
        world.store.trouble(operation, Trouble::Before(gate.clone()));
        let change = tokio::spawn(async move {
            let boss = Profile { role: "boss".into() };
            match operation {
                "put_claims" => session.update(&boss).await.map(drop),
                _ => session.reauthenticate(["pwd"]).await.map(drop),
            }
        });
        gate.reached().await;
        world.pass(2);
        browser.lose(ACCESS);
        assert!(browser.visit(&world.one, "/me").await.renewed().is_some());
        world.pass(2);
        gate.open();
        change.await.unwrap().unwrap();
        idle().await;
        match operation {
            "put_claims" => assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss"),
            _ => assert_eq!(browser.visit(&world.one, "/danger").await.status(), StatusCode::NO_CONTENT),
        }
    }
}

#[tokio::test]
async fn claims_whose_readable_cookie_does_not_fit_are_refused_before_any_change() {
    let world = World::tuned(|builder| builder.readable_cookie("__Host-me", |profile| profile.role.clone()));
    let mut browser = world.signed_in("ann&role=clerk").await;
    let session = session_of(&world.one, &browser).await;
    // It fits into a token, but percent-encoding triples its length.
    assert!(session.update(&Profile { role: "é".repeat(700) }).await.is_err());
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
    let login = format!("/login?name=bob&role={}", "%C3%A9".repeat(700));
    assert_eq!(world.one.answer(browser.post(&login)).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
}

#[tokio::test]
async fn passive_request_does_not_reveal_that_the_token_was_rotated() {
    let world = World::new();
    let mut victim = world.signed_in("ann").await;
    let mut attacker = victim.clone();
    world.pass(crate::support::TTL);
    assert!(victim.visit(&world.one, "/me").await.sets_both());
    attacker.lose(ACCESS);
    let answer = world.one.answer(attacker.get("/poll").and("x-poll", "1")).await;
    assert!(answer.ok());
    assert_eq!(answer.header("x-generation"), Some("0"));
}
