//! Bearer tokens where this instance does not know what ended: the store is asked.

use std::time::Duration;

use tower_sliding_sessions::{
    Timestamp,
    store::{MemoryStore, Revoke, SessionKey, SessionStore as _, StaleScope, Subject},
};

use crate::support::{Client, Probe, TTL, Trouble, World, idle, until};

fn blind() -> World {
    World::around(Probe::new(MemoryStore::new().unwrap()).without_feed(), |builder| builder)
}

#[tokio::test]
async fn a_store_without_a_feed_is_asked_on_each_request_and_never_to_renew() {
    let world = blind();
    let mut client = world.signed_in("ann").await;
    for asked in 1..=3 {
        assert_eq!(client.get(&world, "/me").await.status, 200);
        assert_eq!(world.store.calls("get"), asked);
    }
    world.pass(TTL);
    assert_eq!(client.get(&world, "/me").await.status, 401);
    assert_eq!((world.store.calls("get"), world.store.calls("advance")), (3, 0));
    client.renew(&world).await;
    assert_eq!(client.get(&world, "/me").await.json["generation"], 1);
    idle().await;
    assert_eq!(world.store.calls("confirm"), 1, "it is use all the same");
}

#[tokio::test]
async fn what_the_store_knows_to_have_ended_is_refused_on_an_optional_layer_too() {
    let world = blind();
    let client = world.signed_in("ann").await;
    let answer = client.get(&world, "/anybody").await;
    assert_eq!((answer.status, &answer.json), (200, &"ann".into()));
    // By another instance: this one only learns of it from the store.
    world.store.rotate_run_id().await.unwrap();
    for path in ["/me", "/anybody"] {
        let answer = client.get(&world, path).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
    }
}

#[tokio::test]
async fn while_the_store_is_away_nobody_is_refused_for_good() {
    let world = blind();
    let client = world.signed_in("ann").await;
    world.store.trouble("get", Trouble::Fail);
    for path in ["/me", "/anybody"] {
        let answer = client.get(&world, path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
    world.store.recover();
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn a_token_whose_claims_are_out_of_date_is_renewed_by_its_client() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    world.pass(1);
    let subject = Subject { realm: "sessions".into(), name: "ann".into() };
    let now = world.sessions.now();
    world.store.mark_stale(&StaleScope::Subject(subject), now).await.unwrap();
    until(async || client.get(&world, "/me").await.status == 401).await;
    world.pass(1);
    assert_eq!(client.renew(&world).await.status, 200);
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

/// How a session's tokens come to be out of date.
#[derive(Clone, Copy, Debug)]
enum Change {
    Claims,
    /// As the feed tells of it, and the record does not.
    Mark,
    /// As the record tells of it, and no feed does.
    ClaimsWithoutFeed,
}

impl Change {
    fn world(self) -> World {
        match self {
            Self::Claims | Self::Mark => World::new(),
            Self::ClaimsWithoutFeed => blind(),
        }
    }

    async fn happens(self, world: &World, client: &Client, at: Timestamp) {
        let subject = Subject { realm: "sessions".into(), name: "ann".into() };
        let id = world.store.list(&subject, world.sessions.now()).await.unwrap()[0].id;
        match self {
            Self::Mark => world.store.mark_stale(&StaleScope::Subject(subject), at).await.unwrap(),
            Self::Claims | Self::ClaimsWithoutFeed => {
                let key = SessionKey { subject, id };
                drop(world.store.put_claims(&key, r#"{"role":"new"}"#, at).await.unwrap());
            }
        }
        until(async || client.get(world, "/me").await.status == 401).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_renews_in_the_second_of_a_change_waits_for_the_next() {
    for change in [Change::Claims, Change::Mark, Change::ClaimsWithoutFeed] {
        let world = change.world();
        let client = world.signed_in("ann").await;
        world.pass(1);
        change.happens(&world, &client, world.sessions.now()).await;
        world.clock.advance(Duration::from_millis(1));
        let asked = {
            let (world, client) = (world.clone(), client.clone());
            tokio::spawn(async move { client.exchange(&world).await })
        };
        idle().await;
        assert!(!asked.is_finished(), "{change:?}");
        world.pass(1);
        let renewed = Client::of(&asked.await.unwrap());
        assert_eq!(renewed.get(&world, "/me").await.status, 200, "{change:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_signs_in_in_the_second_of_a_mark_gets_a_token_that_counts() {
    let world = World::new();
    world.sessions.mark_stale("ann").await.unwrap();
    let signing_in = {
        let world = world.clone();
        tokio::spawn(async move { world.signed_in("ann").await })
    };
    idle().await;
    assert!(!signing_in.is_finished());
    world.pass(1);
    let client = signing_in.await.unwrap();
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_kept_waiting_for_a_clock_that_is_ahead() {
    for change in [Change::Claims, Change::Mark, Change::ClaimsWithoutFeed] {
        let world = change.world();
        let client = world.signed_in("ann").await;
        change.happens(&world, &client, world.sessions.now() + Duration::from_secs(3)).await;
        assert!(client.exchange(&world).await.is_error(503, "temporarily_unavailable"), "{change:?}");
        world.pass(4);
        assert_eq!(client.exchange(&world).await.status, 200, "{change:?}");
    }
}

#[tokio::test]
async fn what_ends_on_another_instance_ends_here() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    assert_eq!(client.get(&world, "/me").await.status, 200);
    let id = world.sessions.list("ann").await.unwrap()[0].id;
    let key = SessionKey { subject: Subject { realm: "sessions".into(), name: "ann".into() }, id };
    let revoke = Revoke::Session(key);
    world.store.revoke(&revoke, world.sessions.now()).await.unwrap();
    until(async || client.get(&world, "/me").await.status == 401).await;
}
