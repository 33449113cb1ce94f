//! News of new claims that comes when a renewed response with the old ones has left.

use tower_sliding_sessions::store::MemoryStore;

use crate::{
    near::{role, session_of},
    support::{Probe, Profile, TTL, World, idle},
};

/// A renewed response leaves `two` seconds after the claims were changed on another instance, and
/// before its own instance has heard of that. Which role does everybody see once it has?
async fn role_at_last(world: &World) -> [String; 2] {
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    assert_eq!(role(&browser.visit(&two, "/me").await), "clerk");
    let session = session_of(&world.one, &browser).await;
    world.pass(TTL);
    let slow = two.accept(browser.get("/slow"));
    two.door.reached().await;
    world.store.cut_the_feed();
    // Whoever waits for the feed gets one more answer.
    world.one.sessions.mark_stale("bob").await.unwrap_or_default();
    idle().await;
    let _lost = session.update(&Profile { role: "boss".into() }).await.unwrap();
    world.pass(2);
    two.door.open();
    browser.receive(&slow.await.unwrap());
    world.store.recover();
    tokio::time::advance(std::time::Duration::from_secs(30)).await;
    idle().await;
    world.pass(1);
    let here = role(&browser.visit(&world.one, "/me").await).to_owned();
    [here, role(&browser.visit(&two, "/me").await).to_owned()]
}

#[tokio::test(start_paused = true)]
async fn a_response_that_left_before_the_news_came_does_not_bring_the_old_claims_back() {
    assert_eq!(role_at_last(&World::new()).await, ["boss", "boss"]);
}

#[tokio::test(start_paused = true)]
async fn nor_does_one_of_an_instance_whose_store_has_no_feed() {
    let store = Probe::new(MemoryStore::new().unwrap()).without_feed();
    assert_eq!(role_at_last(&World::around(store, |builder| builder)).await, ["boss", "boss"]);
}
