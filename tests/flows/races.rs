//! Signing out against renewing, with each of the two held at the worst moment. Signing out wins.

use tower_sliding_sessions::{RejectionKind, protocol::Refusal};

use crate::support::{Answer, Browser, Gate, TTL, Trouble, World, idle};

/// Every way in which a session can be ended while another request renews it.
#[derive(Clone, Copy, Debug)]
enum End {
    SignOut,
    Subject,
    Everything,
}

const ENDS: [End; 3] = [End::SignOut, End::Subject, End::Everything];

impl End {
    /// `browser` ends its session, or somebody does it for them.
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
    let ended = |why| matches!(why, Refusal::Denylisted | Refusal::OtherRun | Refusal::Unknown);
    matches!(answer.rejection(), Some(RejectionKind::Unauthenticated(why)) if ended(why))
}

/// Nothing that the session ever had opens anything.
async fn is_over(world: &World, jars: &[&Browser]) {
    idle().await;
    for jar in jars {
        let answer = world.one.answer(jar.get("/me")).await;
        assert!(is_refused(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn a_slow_renewed_request_does_not_undo_a_sign_out_that_happens_meanwhile() {
    for end in ENDS {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let before = browser.clone();
        world.pass(TTL);
        let slow = world.one.accept(browser.get("/slow"));
        world.one.door.reached().await;
        end.befall(&world, &before).await;
        world.one.door.open();

        let answer = slow.await.unwrap();
        assert!(answer.ok(), "its handler was under way before");
        assert!(answer.touches_no_cookie(), "{end:?}: {answer:?}");
        browser.receive(&answer);
        is_over(&world, &[&browser, &before]).await;
    }
}

#[tokio::test]
async fn a_renewal_that_reaches_the_store_after_the_end_is_refused() {
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
async fn a_renewal_that_the_store_granted_just_before_the_end_opens_nothing() {
    for end in ENDS {
        let world = World::new();
        let browser = world.signed_in("ann").await;
        world.pass(TTL);
        let gate = Gate::closed();
        world.store.trouble("advance", Trouble::After(gate.clone()));
        let renewing = world.one.accept(browser.get("/me"));
        gate.reached().await;
        end.befall(&world, &browser).await;
        // This one comes after the end, and finds the flight still in the air.
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
async fn what_the_handler_of_an_ended_session_answers_carries_its_removal_and_nothing_else() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    world.pass(TTL);
    // The sign-out itself renews, and must not bring back what it removes.
    let answer = browser.submit(&world.one, "/logout").await;
    assert!(answer.ok());
    assert_eq!(answer.set_cookies().len(), 2);
    assert!(answer.set_cookies().iter().all(|line| line.contains("Max-Age=0")));
    assert!(browser.is_empty());
    is_over(&world, &[&before]).await;
}

#[tokio::test]
async fn a_sign_out_that_overtakes_a_renewals_answer_is_not_undone_by_it() {
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
async fn a_sign_out_that_the_store_did_not_hear_of_says_so_and_can_be_tried_again() {
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
async fn two_sign_outs_at_once_both_succeed() {
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
