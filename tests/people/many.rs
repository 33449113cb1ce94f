//! Many sessions of one user are revoked at once: the feed has one event for all of them.

use std::time::Duration;

use tower_sliding_sessions::{
    Timestamp,
    store::{FeedEvent, FeedFrom, MemoryStore, SessionStore as _, Subject},
};

use crate::{
    near::{is_in, session_of},
    support::{Browser, Instance, Probe, World, idle},
};

/// One more than the feed reports one by one.
const MANY: usize = FeedEvent::ONE_BY_ONE + 1;

async fn many(world: &World) -> Vec<Browser> {
    let mut browsers = Vec::new();
    for _ in 0..MANY {
        browsers.push(world.signed_in("ann").await);
    }
    browsers
}

/// The feed's events since the start: those of single sessions, and others.
async fn events(store: &MemoryStore) -> (usize, usize) {
    let batch = store.feed(&FeedFrom::Since(Timestamp::EPOCH)).await.unwrap();
    let single = batch.events.iter().filter(|event| matches!(event, FeedEvent::Revoked(_))).count();
    (single, batch.events.len() - single)
}

async fn assert_out(instances: &[&Instance], browsers: &[Browser]) {
    for instance in instances {
        for browser in browsers {
            assert!(!is_in(instance, browser).await);
        }
    }
}

#[tokio::test]
async fn many_sessions_revoked_at_once_are_refused_by_all_instances_and_later_sign_ins_are_served() {
    let memory = MemoryStore::new().unwrap();
    let world = World::around(Probe::new(memory.clone()), |builder| builder);
    let two = world.instance();
    let (browsers, bob) = (many(&world).await, world.signed_in("bob").await);
    assert!(is_in(&two, &browsers[0]).await && is_in(&two, &bob).await);
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), MANY);
    idle().await;
    assert_eq!(events(&memory).await, (0, 1));
    assert_out(&[&world.one, &two], &browsers).await;
    // In the same second, and later.
    for seconds in [0, 1, 44, 100] {
        world.pass(seconds);
        let again = world.signed_in("ann").await;
        for instance in [&world.one, &two] {
            assert!(is_in(instance, &again).await && is_in(instance, &bob).await);
        }
    }
    assert_out(&[&world.one, &two], &browsers).await;
}

#[tokio::test]
async fn spared_session_stays_valid_on_every_instance() {
    let memory = MemoryStore::new().unwrap();
    let world = World::around(Probe::new(memory.clone()), |builder| builder);
    let two = world.instance();
    let (browsers, mut own) = (many(&world).await, world.signed_in("ann").await);
    assert!(own.submit(&world.one, "/revoke-others").await.ok());
    idle().await;
    assert_eq!(events(&memory).await, (0, 1));
    assert_out(&[&world.one, &two], &browsers).await;
    for seconds in [0, 1, 100, 300] {
        world.pass(seconds);
        for instance in [&world.one, &two] {
            assert!(own.visit(instance, "/me").await.ok());
        }
    }
    let before = world.store.all_calls();
    world.pass(60);
    assert!(own.visit(&two, "/me").await.ok());
    assert_eq!(world.store.all_calls(), before, "no store call");
}

#[tokio::test(start_paused = true)]
async fn streams_of_many_revoked_sessions_end_and_others_stay_open() {
    let world = World::new();
    let two = world.instance();
    let (browsers, own) = (many(&world).await, world.signed_in("ann").await);
    let bob = world.signed_in("bob").await;
    let mut waiting = Vec::new();
    for instance in [&world.one, &two] {
        for browser in [&browsers[0], &own, &bob] {
            let session = session_of(instance, browser).await;
            waiting.push(tokio::spawn(session.ended()));
        }
    }
    idle().await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert!(world.one.answer(own.post("/revoke-others")).await.ok());
    tokio::time::sleep(Duration::from_secs(2)).await;
    idle().await;
    let ended: Vec<_> = waiting.iter().map(|waiting| waiting.is_finished()).collect();
    assert_eq!(ended, [true, false, false, true, false, false]);
    // They do not ask the store again.
    let before = world.store.all_calls();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.store.all_calls(), before);
}

#[tokio::test(start_paused = true)]
async fn many_revocations_that_a_store_lost_are_written_again() {
    let (present, replica) = (MemoryStore::new().unwrap(), MemoryStore::new().unwrap());
    present.raise_run_id(replica.run_id_now().unwrap()).await.unwrap();
    let world = World::around(Probe::new(present.clone()), |builder| builder);
    let two = world.instance();
    many(&world).await;
    let ann = Subject { realm: "sessions".into(), name: "ann".into() };
    for record in present.list(&ann, world.one.sessions.now()).await.unwrap() {
        replica.create(&ann, &record, None).await.unwrap();
    }
    // The instance that read it from the feed remembers it, too.
    idle().await;
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), MANY);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.one.sessions.shutdown().await;
    world.pass(10);
    let mut later = Browser::new();
    assert!(later.submit(&two, "/login?name=ann").await.ok());
    let record = present.list(&ann, two.sessions.now()).await.unwrap().remove(0);
    replica.create(&ann, &record, None).await.unwrap();
    world.store.become_that_of(replica.clone());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let live = replica.list(&ann, two.sessions.now()).await.unwrap();
    assert_eq!(live, [record], "the later sign-in stays");
    assert!(is_in(&two, &later).await);
}
