//! The feed event of new claims comes after a renewed response with the old claims has left.

use tower_sliding_sessions::store::MemoryStore;

use crate::{
    near::{role, session_of},
    support::{Probe, Profile, TTL, World, idle},
};

/// Another instance changes the claims. Two seconds later a renewed response leaves, before its own
/// instance has read the feed. Returns the role that each instance serves once the feed is read.
async fn role_at_last(world: &World) -> [String; 2] {
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    assert_eq!(role(&browser.visit(&two, "/me").await), "clerk");
    let session = session_of(&world.one, &browser).await;
    world.pass(TTL);
    let slow = two.accept(browser.get("/slow"));
    two.gate.reached().await;
    world.store.cut_the_feed();
    // A pending read of the feed returns once more.
    world.one.sessions.mark_stale("bob").await.unwrap_or_default();
    idle().await;
    let _lost = session.update(&Profile { role: "boss".into() }).await.unwrap();
    world.pass(2);
    two.gate.open();
    browser.receive(&slow.await.unwrap());
    world.store.recover();
    tokio::time::advance(std::time::Duration::from_secs(30)).await;
    idle().await;
    world.pass(1);
    let here = role(&browser.visit(&world.one, "/me").await).to_owned();
    [here, role(&browser.visit(&two, "/me").await).to_owned()]
}

#[tokio::test(start_paused = true)]
async fn response_that_left_before_the_feed_event_does_not_bring_the_old_claims_back() {
    assert_eq!(role_at_last(&World::new()).await, ["boss", "boss"]);
}

#[tokio::test(start_paused = true)]
async fn response_does_not_bring_the_old_claims_back_where_the_store_has_no_feed() {
    let store = Probe::new(MemoryStore::new().unwrap()).without_feed();
    assert_eq!(role_at_last(&World::around(store, |builder| builder)).await, ["boss", "boss"]);
}
