//! The task that follows the feed restarts after every kind of failure. Each instance writes the
//! revocations it remembers again, to a store that lost them.

use std::time::Duration;

use tower_sliding_sessions::{
    EventKind,
    store::{MemoryStore, Revoke, SessionStore as _, Subject},
};

use crate::support::{Browser, Trouble, World, idle};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn revocation_counts_on_an_instance_whose_first_runtime_was_dropped() {
    let world = World::new();
    let two = world.instance();
    let first = runtime();
    let browser = first.block_on(async {
        let browser = world.signed_in("ann").await;
        assert!(two.answer(browser.get("/me")).await.ok());
        browser
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1);
        assert!(!two.answer(browser.get("/me")).await.ok());
        let other = world.signed_in("bob").await;
        // Until the follower has read the feed again, each request asks the store.
        loop {
            let calls = world.store.calls("get");
            assert!(two.answer(other.get("/me")).await.ok());
            if world.store.calls("get") == calls {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn revocation_counts_on_an_instance_whose_event_hook_panics_in_the_follower() {
    let world = World::new();
    let two = world.other(|builder| {
        builder.on_event(|event| assert_ne!(event.kind, EventKind::FeedLagging, "simulated panic"))
    });
    let browser = world.signed_in("ann").await;
    assert!(two.answer(browser.get("/me")).await.ok());
    world.store.cut_the_feed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.pass(6);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.store.recover();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!two.answer(browser.get("/me")).await.ok());
}

#[tokio::test]
async fn no_request_starts_a_follower_after_shutdown() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.one.sessions.shutdown().await;
    for _ in 0..3 {
        assert!(world.one.answer(browser.get("/me")).await.ok());
        idle().await;
    }
    assert_eq!(world.count(&EventKind::FeedLagging), 0);
}

/// Ten sign-outs that two instances have recorded.
async fn ten_signed_out(world: &World) -> Vec<Browser> {
    let two = world.instance();
    let mut browsers = Vec::new();
    for n in 0..10 {
        browsers.push(world.signed_in(&format!("user{n}")).await);
    }
    assert!(two.answer(browsers[0].get("/me")).await.ok());
    for browser in &mut browsers.clone() {
        assert!(browser.submit(&world.one, "/leave").await.ok());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!two.answer(browsers[0].get("/me")).await.ok());
    browsers
}

#[tokio::test(start_paused = true)]
async fn no_revocation_is_written_again_after_an_outage_without_data_loss() {
    let world = World::new();
    ten_signed_out(&world).await;
    let revocations = world.store.calls("revoke");
    world.store.cut_the_feed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.store.recover();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.store.calls("revoke"), revocations);
}

#[tokio::test(start_paused = true)]
async fn revocations_that_the_store_lost_are_all_written_again_although_it_fails_in_between() {
    let backup = MemoryStore::new().unwrap();
    let world = World::new();
    backup.raise_run_id(world.store.run()).await.unwrap();
    let subject = |n: usize| Subject { realm: "sessions".into(), name: format!("user{n}").into() };
    let mut kept = Vec::new();
    for n in 0..10 {
        world.signed_in(&format!("user{n}")).await;
        let [info] = &world.one.sessions.list(&format!("user{n}")).await.unwrap()[..] else { panic!("one") };
        kept.push(info.id);
    }
    for (n, id) in kept.iter().enumerate() {
        let key = tower_sliding_sessions::store::SessionKey { subject: subject(n), id: *id };
        let record = world.store.record(&key).await;
        backup.create(&key.subject, &record, None).await.unwrap();
    }
    for n in 0..10 {
        assert_eq!(world.one.sessions.revoke_all(&format!("user{n}")).await.unwrap(), 1);
    }
    world.store.trouble("get", Trouble::Fail);
    world.store.become_that_of(backup.clone());
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.store.recover();
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in 0..10 {
        let live = world.one.sessions.list(&format!("user{n}")).await.unwrap();
        assert!(live.is_empty(), "user{n} is signed out in the backup too");
        let what = Revoke::Subject { subject: subject(n), before: None, except: None };
        let revoked = backup.revoke(&what, world.one.sessions.now()).await.unwrap();
        assert!(revoked.is_empty(), "user{n} has no session left to revoke");
    }
}

#[tokio::test(start_paused = true)]
async fn feed_that_panics_is_reported_as_lagging_and_followed_again_once_it_works() {
    let world = World::new();
    let two = world.instance();
    let browser = world.signed_in("ann").await;
    assert!(two.answer(browser.get("/me")).await.ok());
    world.store.panic_in_the_feed();
    for _ in 0..20 {
        world.pass(1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(two.answer(browser.get("/me")).await.ok());
    }
    assert_eq!(world.count(&EventKind::FeedLagging), 2, "once by each instance");
    world.one.sessions.revoke_all("ann").await.unwrap();
    world.store.recover();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(two.answer(browser.get("/me")).await.status(), 401);
    assert_eq!(world.count(&EventKind::FeedRecovered), 2);
}

/// An earlier outage has made the intervals between its tries long.
#[tokio::test(start_paused = true)]
async fn lost_revocation_is_written_again_within_seconds_after_the_feed_is_back() {
    let backup = MemoryStore::new().unwrap();
    let world = World::new();
    backup.raise_run_id(world.store.run()).await.unwrap();
    world.signed_in("ann").await;
    let [info] = &world.one.sessions.list("ann").await.unwrap()[..] else { panic!("one") };
    let subject = Subject { realm: "sessions".into(), name: "ann".into() };
    let key = tower_sliding_sessions::store::SessionKey { subject, id: info.id };
    backup.create(&key.subject, &world.store.record(&key).await, None).await.unwrap();
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1);
    for fails in [true, false] {
        world.store.cut_the_feed();
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.store.recover();
        if fails {
            world.store.trouble("get", Trouble::Fail);
            tokio::time::sleep(Duration::from_secs(40)).await;
        } else {
            world.store.become_that_of(backup.clone());
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.one.sessions.list("ann").await.unwrap().is_empty());
}
