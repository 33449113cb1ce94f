//! Clocks that jump. Nothing panics, and no session lives for ever.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_sliding_sessions::{Clock as _, RejectionKind, Timestamp, protocol::Refusal};

use crate::support::{ABSOLUTE, ACCESS, Browser, TTL, World, claims_of, idle};

const HOUR: Duration = Duration::from_secs(3600);

fn expired(answer: &crate::support::Answer) -> bool {
    answer.rejection() == Some(RejectionKind::Unauthenticated(Refusal::Expired))
}

#[tokio::test]
async fn clock_set_back_an_hour_ends_no_session_and_extends_none() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let began = world.clock.now();
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.clock.set(world.clock.now() - HOUR);

    for _ in 0..24 {
        let answer = browser.visit(&world.one, "/me").await;
        assert!(answer.ok(), "{answer:?}");
        idle().await;
        world.pass(TTL);
    }
    let exp = claims_of(browser.value(ACCESS).unwrap())["exp"].as_u64().unwrap();
    assert!(exp <= world.clock.now().as_secs() + TTL);
    world.clock.set(began + Duration::from_secs(ABSOLUTE));
    assert!(expired(&browser.visit(&world.one, "/me").await));
}

#[tokio::test]
async fn access_token_from_the_future_is_renewed_and_not_used() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.clock.set(world.clock.now() - Duration::from_secs(5));
    assert_eq!(
        browser.visit(&world.one, "/me").await.renewed(),
        None,
        "a small clock difference is tolerated"
    );
    world.clock.set(world.clock.now() - Duration::from_secs(1));
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), Some("Reissued"));
    assert!(answer.sets_access_only());
}

#[tokio::test]
async fn clock_that_jumps_a_year_ahead_ends_every_session() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.clock.set(world.clock.now() + HOUR * 24 * 365);
    let answer = browser.visit(&world.one, "/me").await;
    assert!(expired(&answer) && answer.touches_no_cookie());
    assert!(browser.submit(&world.one, "/login?name=ann").await.sets_both());
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn clock_jump_forwards_and_back_ends_no_session() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let now = world.clock.now();
    world.clock.set(now + HOUR * 24 * 365);
    assert!(!browser.visit(&world.one, "/me").await.ok());
    world.clock.set(now);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn clock_before_1970_or_at_its_maximum_causes_no_panic() {
    for start in [Timestamp::EPOCH, Timestamp::from_millis(1), Timestamp::from_millis(u64::MAX)] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        world.clock.set(start);
        for path in ["/me", "/optional", "/status/404"] {
            let _any = browser.visit(&world.one, path).await;
        }
        let mut other = Browser::new();
        for path in ["/login?name=bob", "/leave"] {
            let _any = other.submit(&world.one, path).await;
        }
        world.one.sessions.list("ann").await.unwrap();
        world.one.sessions.revoke_all("ann").await.unwrap();
        assert!(!browser.visit(&world.one, "/me").await.ok());
    }
}

#[tokio::test]
async fn session_that_begins_in_1970_ends_like_any_other() {
    let world = World::new();
    world.clock.set(Timestamp::EPOCH);
    let mut browser = world.signed_in("ann").await;
    for _ in 0..10 {
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
    }
    world.pass(ABSOLUTE);
    assert!(expired(&browser.visit(&world.one, "/me").await));
}

#[test]
fn a_timestamp_is_shown_as_rfc_3339_and_converted_to_the_systems_time() {
    for (millis, shown) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] {
        let time = Timestamp::from_millis(millis);
        assert_eq!(time.to_string(), shown);
        assert_eq!(Timestamp::from(SystemTime::from(time)), time);
    }
    assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp::EPOCH);
    assert!(!Timestamp::from_millis(u64::MAX).to_string().is_empty());
}
