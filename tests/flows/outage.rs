//! The store is unavailable, or slow. No session ends, no token is minted, and no cookie changes.

use std::time::Duration;

use tower_sliding_sessions::{EventKind, RejectionKind};

use crate::support::{ACCESS, Answer, Gate, REFRESH, TTL, Trouble, World, idle};

/// The response during an outage.
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
async fn renewal_in_an_outage_gets_503_and_succeeds_later_with_the_same_cookies() {
    for trouble in [Trouble::Fail, Trouble::FailAfter, Trouble::Hang] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let before = browser.clone();
        world.pass(TTL);
        world.store.trouble_everywhere(&trouble);
        for path in ["/me", "/optional", "/status/204"] {
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
async fn valid_access_token_is_served_during_an_outage() {
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
async fn failed_background_write_does_not_fail_the_request() {
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
async fn store_that_hangs_is_abandoned_at_the_deadline() {
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

/// Its caller must learn whether it took effect.
#[tokio::test(start_paused = true)]
async fn emergency_stop_waits_for_a_slow_store_eight_times_as_long() {
    let world = brief(500);
    world.store.trouble("raise_run_id", Trouble::Hang);
    let before = tokio::time::Instant::now();
    world.one.sessions.revoke_everything().await.unwrap_err();
    let waited = before.elapsed();
    assert!((4000..=4010).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(world.count(&EventKind::StoreFailed { operation: "raise_run_id", why: "late" }), 1);
}

#[tokio::test]
async fn store_failure_is_reported() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    assert!(is_unavailable(&browser.visit(&world.one, "/me").await));
    assert_eq!(world.count(&EventKind::StoreFailed { operation: "advance", why: "unavailable" }), 1);
}

#[tokio::test]
async fn slow_store_serves_all_waiting_requests() {
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
async fn reuse_that_cannot_be_stored_is_reported_at_once_and_once() {
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
async fn expired_access_token_is_served_in_an_outage_if_configured_and_for_a_limited_time() {
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
        assert!(!ended.visit(&world.one, "/me").await.ok(), "a revocation known here counts");
        assert!(is_unavailable(&without.visit(&world.one, "/me").await));
    }
    world.pass(119);
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.pass(1);
    assert!(is_unavailable(&browser.visit(&world.one, "/me").await));
    world.store.recover();
    assert!(browser.visit(&world.one, "/me").await.sets_both());
}

/// Early renewal in the last 100 s of the access token's life, and at least in the last 50 s.
fn early() -> World {
    World::tuned(|builder| {
        builder
            .timing(|timing| timing.renew_before(Duration::from_secs(100)))
            .store_deadline(Duration::from_millis(500))
    })
}

#[tokio::test]
async fn access_token_is_renewed_before_it_expires() {
    let world = early();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL - 101);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
    world.pass(51);
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), Some("Rotated"));
    assert!(answer.sets_both());
}

#[tokio::test(start_paused = true)]
async fn failed_early_renewal_serves_by_the_valid_token_and_pauses() {
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
        // For at least one second, no request asks the store again.
        assert!(browser.visit(&world.one, "/me").await.ok());
        assert!(other.visit(&world.one, "/me").await.ok());
        assert_eq!(world.store.calls("advance"), 1);

        world.store.recover();
        world.pass(6);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
    }
}

#[tokio::test]
async fn early_renewal_without_a_usable_refresh_token_serves_by_the_access_token() {
    let world = early();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL - 50);
    browser.plant(REFRESH, "nonsense");
    assert!(browser.visit(&world.one, "/me").await.ok());
    browser.lose(REFRESH);
    assert!(browser.visit(&world.one, "/me").await.ok());
    // Another user's refresh token does not renew this session.
    let other = world.signed_in("bob").await;
    browser.plant(REFRESH, other.value(REFRESH).unwrap());
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), None);
    assert_eq!(answer.text().await, "ann");
}
