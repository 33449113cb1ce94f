//! The claims hook at each renewal: keep the claims, replace them, or end the session.

use tower_sliding_sessions::{EventKind, RejectionKind, protocol::Refusal};

use crate::{
    directory::{Directory, Says},
    near::{is_anonymous, is_in, role, role_in_jar},
    support::{Gate, Profile, TTL, idle},
};

#[tokio::test]
async fn hundred_parallel_renewals_call_the_claims_hook_once() {
    let directory = Directory::default();
    let world = directory.world();
    let browser = world.signed_in("ann&role=clerk").await;
    assert_eq!(directory.asked().len(), 1, "once, at the end of the sign-in");
    world.pass(TTL);
    let gate = Gate::closed();
    directory.say("ann", Says::Wait(gate.clone()));

    let tasks: Vec<_> = (0..100).map(|_| world.one.accept(browser.get("/me"))).collect();
    gate.reached().await;
    idle().await;
    gate.open();

    for task in tasks {
        let answer = task.await.unwrap();
        assert!(answer.ok() && answer.sets_both());
        assert_eq!(role(&answer), "clerk");
    }
    assert_eq!(directory.asked(), [("ann".to_owned(), Some(Profile { role: "clerk".into() }))]);
}

#[tokio::test]
async fn claims_hook_is_not_called_while_the_access_token_is_valid() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann").await;
    directory.asked();
    world.pass(TTL - 1);
    assert!(browser.visit(&world.one, "/me").await.ok());
    assert!(directory.asked().is_empty());
}

#[tokio::test]
async fn kept_claims_are_those_of_the_record() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann&role=clerk").await;
    directory.asked();
    for _ in 0..3 {
        world.pass(TTL);
        assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
        assert_eq!(role_in_jar(&browser), "clerk");
    }
    assert_eq!(directory.asked().len(), 3);
}

#[tokio::test]
async fn replaced_claims_are_served_at_once_and_at_each_renewal_and_the_record_keeps_its_own() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    directory.asked();
    directory.role("ann", "boss");
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk", "until the renewal");
    for instance in [&world.one, &two, &world.one] {
        world.pass(TTL);
        assert_eq!(role(&browser.visit(instance, "/me").await), "boss", "in the renewing request");
        assert_eq!(role_in_jar(&browser), "boss");
        assert_eq!(role(&browser.visit(instance, "/me").await), "boss");
        idle().await;
    }
    let given = directory.asked().into_iter().map(|(_, claims)| claims.unwrap().role);
    assert_eq!(given.collect::<Vec<_>>(), ["clerk"; 3], "the hook gets the record's claims");
    directory.say("ann", Says::Keep);
    world.pass(TTL);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
}

#[tokio::test]
async fn session_that_the_claims_hook_ends_is_refused_everywhere_and_no_other_is() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let phone = world.signed_in("ann").await;
    world.pass(TTL - 10);
    let laptop = world.signed_in("ann").await;
    let bob = world.signed_in("bob").await;
    world.pass(10);
    directory.say("ann", Says::End("locked"));

    let answer = two.answer(phone.get("/me")).await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::RevokedByApplication)));
    assert!(!answer.removes_cookies());
    is_anonymous(&two, answer).await;
    assert_eq!(world.count(&EventKind::RevokedByApplication { reason: "locked".into() }), 1);
    assert_eq!(world.count(&EventKind::Refused(Refusal::RevokedByApplication)), 1);

    // The revocation was stored: no later answer of the hook restores the session.
    directory.say("ann", Says::Keep);
    assert!(!is_in(&world.one, &phone).await && !is_in(&two, &phone).await);
    assert!(
        is_in(&world.one, &laptop).await && is_in(&two, &laptop).await,
        "the other device stays signed in"
    );
    assert!(is_in(&two, &bob).await);
    world.pass(TTL);
    assert!(!is_in(&two, &phone).await && is_in(&two, &laptop).await);
}

#[tokio::test]
async fn valid_access_token_of_a_session_that_the_hook_ended_is_refused() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    let earlier = browser.clone();
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    assert!(is_in(&two, &browser).await);
    // The same session, renewed once more by a request that still carried the old cookies.
    directory.say("ann", Says::End("deleted"));
    assert!(!is_in(&world.one, &earlier).await);
    idle().await;
    assert!(!is_in(&world.one, &browser).await && !is_in(&two, &browser).await);
}

#[tokio::test]
async fn lock_that_ends_all_sessions_leaves_none() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let (phone, laptop) = (world.signed_in("ann").await, world.signed_in("ann").await);
    directory.asked();
    assert!(is_in(&two, &phone).await && is_in(&two, &laptop).await);
    directory.say("ann", Says::End("locked"));
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 2);
    idle().await;
    for browser in [&phone, &laptop] {
        assert!(!is_in(&world.one, browser).await && !is_in(&two, browser).await);
    }
    assert!(directory.asked().is_empty());
}
