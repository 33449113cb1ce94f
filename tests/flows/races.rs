//! Sign-out against renewal, with each of the two held at the worst moment. The sign-out is final.

use tower_sliding_sessions::{RejectionKind, protocol::Refusal};

use crate::support::{Answer, Browser, Gate, TTL, Trouble, World, idle};

/// Each way to end a session while another request renews it.
#[derive(Clone, Copy, Debug)]
enum End {
    SignOut,
    Subject,
    Everything,
}

const ENDS: [End; 3] = [End::SignOut, End::Subject, End::Everything];

impl End {
    /// `browser` ends its session, or the application revokes it.
    async fn befall(self, world: &World, browser: &Browser) {
        match self {
            Self::SignOut => {
                let answer = world.one.answer(browser.post("/leave")).await;
                assert!(answer.ok() && answer.removes_cookies());
            }
            Self::Subject => assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1),
            Self::Everything => drop(world.one.sessions.revoke_everything().await.unwrap()),
        }
    }
}

fn is_refused(answer: &Answer) -> bool {
    let ended = |why| matches!(why, Refusal::Revoked | Refusal::OtherRunId | Refusal::Unknown);
    matches!(answer.rejection(), Some(RejectionKind::Unauthenticated(why)) if ended(why))
}

/// No token that the session ever had is accepted.
async fn is_over(world: &World, jars: &[&Browser]) {
    idle().await;
    for jar in jars {
        let answer = world.one.answer(jar.get("/me")).await;
        assert!(is_refused(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn slow_renewed_request_does_not_undo_a_concurrent_sign_out() {
    for end in ENDS {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let before = browser.clone();
        world.pass(TTL);
        let slow = world.one.accept(browser.get("/slow"));
        world.one.gate.reached().await;
        end.befall(&world, &before).await;
        world.one.gate.open();

        let answer = slow.await.unwrap();
        assert!(answer.ok(), "its handler had started before");
        assert!(answer.touches_no_cookie(), "{end:?}: {answer:?}");
        browser.receive(&answer);
        is_over(&world, &[&browser, &before]).await;
    }
}

#[tokio::test]
async fn renewal_that_reaches_the_store_after_the_revocation_is_refused() {
    for end in ENDS {
        let world = World::new();
        let browser = world.signed_in("ann").await;
        world.pass(TTL);
        let gate = Gate::closed();
        world.store.trouble("advance", Trouble::Before(gate.clone()));
        let renewing = world.one.accept(browser.get("/me"));
        gate.reached().await;
        end.befall(&world, &browser).await;
        gate.open();

        let answer = renewing.await.unwrap();
        assert!(is_refused(&answer), "{end:?}: {answer:?}");
        assert!(answer.touches_no_cookie());
        assert_eq!(world.store.rotations(), 0);
    }
}

#[tokio::test]
async fn renewal_granted_by_the_store_just_before_the_revocation_is_refused() {
    for end in ENDS {
        let world = World::new();
        let browser = world.signed_in("ann").await;
        world.pass(TTL);
        let gate = Gate::closed();
        world.store.trouble("advance", Trouble::After(gate.clone()));
        let renewing = world.one.accept(browser.get("/me"));
        gate.reached().await;
        end.befall(&world, &browser).await;
        // This request comes after the revocation, and joins the in-flight renewal.
        let late = world.one.accept(browser.get("/me"));
        idle().await;
        gate.open();

        for answer in [renewing.await.unwrap(), late.await.unwrap()] {
            assert!(is_refused(&answer), "{end:?}: {answer:?}");
            assert!(answer.touches_no_cookie());
        }
        is_over(&world, &[&browser]).await;
    }
}

#[tokio::test]
async fn response_of_a_handler_whose_session_was_revoked_removes_cookies_and_sets_none() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    world.pass(TTL);
    // The sign-out request itself renews, and must not set what it removes.
    let answer = browser.submit(&world.one, "/logout").await;
    assert!(answer.ok());
    assert_eq!(answer.set_cookies().len(), 2);
    assert!(answer.set_cookies().iter().all(|line| line.contains("Max-Age=0")));
    assert!(browser.is_empty());
    is_over(&world, &[&before]).await;
}

#[tokio::test]
async fn renewal_response_that_arrives_after_a_sign_out_does_not_undo_it() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let late = world.one.answer(browser.get("/me")).await;
    assert!(late.sets_both());
    assert!(browser.submit(&world.one, "/logout").await.ok());
    browser.receive(&late);
    assert!(!browser.is_empty(), "the browser has cookies again");
    is_over(&world, &[&browser]).await;
}

#[tokio::test]
async fn sign_out_that_did_not_reach_the_store_fails_and_can_be_tried_again() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.store.trouble("revoke", Trouble::Fail);
    for path in ["/logout", "/leave"] {
        let answer = browser.submit(&world.one, path).await;
        assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
        assert!(answer.touches_no_cookie());
    }
    assert!(browser.visit(&world.one, "/me").await.ok());

    world.store.recover();
    let before = browser.clone();
    assert!(browser.submit(&world.one, "/logout").await.ok());
    assert!(browser.is_empty());
    is_over(&world, &[&before]).await;
}

#[tokio::test]
async fn two_concurrent_sign_outs_both_succeed() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let gate = Gate::closed();
    world.store.trouble("revoke", Trouble::Before(gate.clone()));
    let both = [world.one.accept(browser.post("/logout")), world.one.accept(browser.post("/leave"))];
    gate.reached().await;
    gate.reached().await;
    gate.open();
    for answer in both {
        let answer = answer.await.unwrap();
        assert!(answer.ok() && answer.removes_cookies());
    }
}
