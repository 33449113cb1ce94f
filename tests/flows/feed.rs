//! Revocations on another instance reach this one by the store's feed. What happens when the feed fails.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_sliding_sessions::{EventKind, RejectionKind, SessionId, store::MemoryStore};

use crate::support::{
    ACCESS, Browser, Instance, Probe, REFRESH, TTL, Trouble, World, claims_of, idle, until,
};

/// Two instances whose feed is cut, and a browser that both have served.
async fn cut_off(world: &World) -> (Instance, Browser) {
    let two = world.instance();
    let browser = world.signed_in("ann").await;
    for instance in [&world.one, &two] {
        assert!(instance.answer(browser.get("/me")).await.ok());
    }
    idle().await;
    world.store.cut_the_feed();
    // A pending read of the feed returns without an event, and the next one fails. Time is paused.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.pass(6);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.count(&EventKind::FeedLagging), 2, "each instance reports it once");
    (two, browser)
}

/// As in a cluster, where a shard fails and the others have events.
#[tokio::test(start_paused = true)]
async fn lag_is_reported_with_the_cause_of_the_failure_if_other_reads_succeed() {
    let world = World::new();
    let causes = Arc::new(Mutex::new(Vec::new()));
    let two = world.other(|builder| {
        let causes = causes.clone();
        builder.on_event(move |event| {
            if event.kind == EventKind::FeedLagging {
                causes.lock().unwrap().push(event.cause.clone().unwrap());
            }
        })
    });
    let seconds = async |count| tokio::time::sleep(Duration::from_secs(count)).await;
    let browser = world.signed_in("ann").await;
    assert!(two.answer(browser.get("/me")).await.ok());
    world.store.cut_the_feed();
    seconds(3).await;
    world.store.announce_more_events(true);
    world.store.recover();
    seconds(2).await;
    assert!(causes.lock().unwrap().is_empty(), "not yet for longer than the bound");
    world.pass(6);
    seconds(2).await;
    // Once the feed was read to its end, an earlier failure is no cause.
    world.store.announce_more_events(false);
    seconds(2).await;
    world.store.announce_more_events(true);
    world.pass(6);
    seconds(2).await;
    let causes = causes.lock().unwrap();
    let [first, second] = &causes[..] else { panic!("{causes:?}") };
    assert!(first.contains("simulated outage"), "{first}");
    assert!(second.contains("more events"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn lagging_instance_accepts_a_revoked_access_token_until_it_expires_at_most() {
    let world = World::new();
    let (two, browser) = cut_off(&world).await;
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1);
    assert!(!world.one.answer(browser.get("/me")).await.ok());
    idle().await;
    assert!(two.answer(browser.get("/me")).await.ok(), "it has not read the revocation");
    world.pass(TTL);
    assert!(!two.answer(browser.get("/me")).await.ok(), "a renewal asks the store");
}

#[tokio::test(start_paused = true)]
async fn revocation_read_by_a_renewal_counts_for_access_tokens_too() {
    let world = World::new();
    let (two, browser) = cut_off(&world).await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    let mut refresh_alone = browser.clone();
    refresh_alone.lose(ACCESS);
    assert!(two.answer(browser.get("/me")).await.ok(), "it has not read the revocation");
    assert!(!two.answer(refresh_alone.get("/me")).await.ok());
    assert!(!two.answer(browser.get("/me")).await.ok(), "the renewal read it");
}

/// What another instance has revoked is not among what the store revokes now.
#[tokio::test(start_paused = true)]
async fn lagging_instance_that_revokes_the_same_sessions_refuses_them_from_then_on() {
    for one_by_one in [true, false] {
        let world = World::new();
        let (two, browser) = cut_off(&world).await;
        world.one.sessions.revoke_all("ann").await.unwrap();
        assert!(two.answer(browser.get("/me")).await.ok(), "it has not read the revocation");
        if one_by_one {
            let id = claims_of(browser.value(REFRESH).unwrap())["sid"].as_str().and_then(SessionId::decode);
            assert!(!two.sessions.revoke("ann", id.unwrap()).await.unwrap(), "it was revoked before");
        } else {
            assert_eq!(two.sessions.revoke_all("ann").await.unwrap(), 0);
        }
        let mut access_alone = browser.clone();
        access_alone.lose(REFRESH);
        for browser in [access_alone, browser] {
            assert!(!two.answer(browser.get("/me")).await.ok(), "one by one: {one_by_one}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lagging_instance_asks_the_store_on_each_request_if_configured() {
    let world = World::tuned(|builder| builder.ask_store_when_lagging(true));
    let (two, browser) = cut_off(&world).await;
    let calls = world.store.calls("get");
    assert!(two.answer(browser.get("/me")).await.ok());
    assert_eq!(world.store.calls("get"), calls + 1);
    world.store.trouble("get", Trouble::Fail);
    assert_eq!(two.answer(browser.get("/me")).await.status(), 503);
    world.store.recover();
    world.store.cut_the_feed();
    world.one.sessions.revoke_all("ann").await.unwrap();
    assert_eq!(two.answer(browser.get("/me")).await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn instance_catches_up_without_a_gap_when_the_feed_is_back() {
    let world = World::new();
    let (two, browser) = cut_off(&world).await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    assert!(two.answer(browser.get("/me")).await.ok());
    world.store.recover();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!two.answer(browser.get("/me")).await.ok());
    assert_eq!(world.count(&EventKind::FeedRecovered), 2);
    assert_eq!(world.count(&EventKind::FeedGap), 0);
}

#[tokio::test]
async fn store_without_a_feed_is_asked_on_each_request_and_a_sign_out_counts_at_once() {
    let store = Probe::new(MemoryStore::new().unwrap()).without_feed();
    let world = World::around(store, |builder| builder);
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..3 {
        let answer = browser.visit(&two, "/me").await;
        assert!(answer.ok() && answer.touches_no_cookie());
    }
    assert_eq!(world.store.calls("get"), 3);

    world.store.trouble("get", Trouble::Fail);
    let answer = browser.visit(&two, "/me").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
    assert!(answer.touches_no_cookie());
    world.store.recover();

    world.pass(TTL);
    assert!(browser.visit(&two, "/me").await.sets_both());
    assert!(browser.visit(&world.one, "/me").await.ok());
    let before = browser.clone();
    assert!(browser.submit(&world.one, "/leave").await.ok());
    assert!(!two.answer(before.get("/me")).await.ok());
    until(async || !world.one.answer(before.get("/me")).await.ok()).await;
}
