//! The store is away, or slow. Nobody is signed out, nothing is minted, and no cookie is touched.

use std::time::Duration;

use tower_sliding_sessions::{EventKind, RejectionKind};

use crate::support::{ACCESS, Answer, Gate, REFRESH, TTL, Trouble, World, idle};

/// What is answered while the store is away.
fn is_unavailable(answer: &Answer) -> bool {
    answer.rejection() == Some(RejectionKind::Unavailable)
        && answer.status() == 503
        && answer.header("retry-after") == Some("1")
        && answer.header("cache-control") == Some("no-store")
        && answer.touches_no_cookie()
}

fn brief(milliseconds: u64) -> World {
    World::tuned(move |builder| builder.store_deadline(Duration::from_millis(milliseconds)))
}

#[tokio::test(start_paused = true)]
async fn a_renewal_waits_for_the_store_to_come_back_with_the_same_cookies() {
    for trouble in [Trouble::Fail, Trouble::FailAfter, Trouble::Hang] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let before = browser.clone();
        world.pass(TTL);
        world.store.trouble_everywhere(&trouble);
        for path in ["/me", "/anybody", "/status/204"] {
            let answer = browser.visit(&world.one, path).await;
            assert!(is_unavailable(&answer), "{trouble:?}: {answer:?}");
        }
        assert_eq!(browser, before);

        world.store.recover();
        world.pass(3600);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
        assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_valid_access_token_never_notices() {
    for trouble in [Trouble::Fail, Trouble::Hang] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        world.store.trouble_everywhere(&trouble);
        for _ in 0..TTL {
            let answer = browser.visit(&world.one, "/me").await;
            assert!(answer.ok() && answer.touches_no_cookie());
            world.pass(1);
        }
        assert!(is_unavailable(&browser.visit(&world.one, "/me").await));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_behind_a_request_may_fail_without_anybody_noticing() {
    for trouble in [Trouble::Fail, Trouble::Hang] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        world.store.trouble("confirm", trouble.clone());
        world.store.trouble("touch", trouble);
        for _ in 0..4 {
            world.pass(TTL);
            assert!(browser.visit(&world.one, "/me").await.ok());
            assert!(browser.visit(&world.one, "/me").await.ok());
        }
        assert_eq!(world.store.rotations(), 1, "no rotation without a confirmation");
        world.store.recover();
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_left_at_the_deadline() {
    let world = brief(500);
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Hang);
    let before = tokio::time::Instant::now();
    assert!(is_unavailable(&browser.visit(&world.one, "/me").await));
    let waited = before.elapsed();
    assert!((500..=510).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(world.count(&EventKind::StoreFailed { operation: "advance", why: "late" }), 1);
}

#[tokio::test]
async fn a_store_that_fails_is_reported() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    assert!(is_unavailable(&browser.visit(&world.one, "/me").await));
    assert_eq!(world.count(&EventKind::StoreFailed { operation: "advance", why: "unavailable" }), 1);
}

#[tokio::test]
async fn a_store_that_is_slow_serves_everybody_who_waited() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::Before(gate.clone()));
    let waiting: Vec<_> = (0..50).map(|_| world.one.accept(browser.get("/me"))).collect();
    gate.reached().await;
    idle().await;
    gate.open();
    for task in waiting {
        assert!(task.await.unwrap().sets_both());
    }
    assert_eq!(world.store.calls("advance"), 1);
}

#[tokio::test]
async fn a_reuse_that_cannot_be_written_down_is_told_of_at_once_and_once() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    world.pass(TTL);
    assert!(owner.visit(&world.one, "/me").await.ok());
    assert!(owner.visit(&world.one, "/me").await.ok());
    idle().await;
    world.pass(TTL);
    world.store.trouble("revoke", Trouble::Fail);
    for _ in 0..2 {
        assert!(is_unavailable(&attacker.visit(&world.one, "/me").await));
        assert_eq!(world.count(&EventKind::ReuseDetected), 1);
    }

    world.store.recover();
    assert_eq!(attacker.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_access_token_rides_through_if_it_may_and_only_for_so_long() {
    let world = World::tuned(|builder| builder.ride_through(Duration::from_secs(120)));
    let mut browser = world.signed_in("ann").await;
    let mut ended = world.signed_in("bob").await;
    let mut without = browser.clone();
    without.lose(ACCESS);
    world.one.sessions.revoke_all("bob").await.unwrap();
    world.pass(TTL);
    for trouble in [Trouble::Fail, Trouble::Hang] {
        world.store.trouble("advance", trouble);
        let answer = browser.visit(&world.one, "/me").await;
        assert!(answer.ok() && answer.touches_no_cookie());
        assert!(!ended.visit(&world.one, "/me").await.ok(), "what is known against a session counts");
        assert!(is_unavailable(&without.visit(&world.one, "/me").await));
    }
    world.pass(119);
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.pass(1);
    assert!(is_unavailable(&browser.visit(&world.one, "/me").await));
    world.store.recover();
    assert!(browser.visit(&world.one, "/me").await.sets_both());
}

/// Early renewal in the last 100 s, or 50 s at the least, of the access token's life.
fn early() -> World {
    World::tuned(|builder| {
        builder
            .timing(|timing| timing.renew_before(Duration::from_secs(100)))
            .store_deadline(Duration::from_millis(500))
    })
}

#[tokio::test]
async fn an_access_token_is_renewed_before_it_ends() {
    let world = early();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL - 101);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
    world.pass(51);
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), Some("Advanced"));
    assert!(answer.sets_both());
}

#[tokio::test(start_paused = true)]
async fn early_renewal_that_fails_goes_on_with_the_valid_token_and_then_rests() {
    for trouble in [Trouble::Fail, Trouble::Hang] {
        let world = early();
        let mut browser = world.signed_in("ann").await;
        let mut other = world.signed_in("bob").await;
        world.pass(TTL - 50);
        world.store.trouble("advance", trouble);
        let answer = browser.visit(&world.one, "/me").await;
        assert!(answer.ok() && answer.touches_no_cookie());
        assert_eq!(answer.renewed(), None);
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        // For a second at least, nobody asks again.
        assert!(browser.visit(&world.one, "/me").await.ok());
        assert!(other.visit(&world.one, "/me").await.ok());
        assert_eq!(world.store.calls("advance"), 1);

        world.store.recover();
        world.pass(6);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
    }
}

#[tokio::test]
async fn early_renewal_without_a_usable_refresh_token_goes_on_with_the_access_token() {
    let world = early();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL - 50);
    browser.plant(REFRESH, "nonsense");
    assert!(browser.visit(&world.one, "/me").await.ok());
    browser.lose(REFRESH);
    assert!(browser.visit(&world.one, "/me").await.ok());
    // Somebody else's refresh token is not what renews this session.
    let other = world.signed_in("bob").await;
    browser.plant(REFRESH, other.value(REFRESH).unwrap());
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), None);
    assert_eq!(answer.text().await, "ann");
}
