//! Bearer tokens where this instance does not follow revocations: each request asks the store.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tower_sliding_sessions::{
    Reload, Timestamp,
    store::{FeedEvent, MemoryStore, Revoke, SessionKey, SessionStore as _, Subject},
};

use crate::support::{Client, Probe, Profile, TTL, Trouble, World, idle, until};

fn without_feed() -> World {
    World::around(Probe::new(MemoryStore::new().unwrap()).without_feed(), |builder| builder)
}

#[tokio::test]
async fn store_without_a_feed_is_read_on_each_request_and_never_renews() {
    let world = without_feed();
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
    assert_eq!(world.store.calls("confirm"), 1, "a bearer request confirms too");
}

#[tokio::test]
async fn session_revoked_in_the_store_is_refused_by_an_optional_layer_too() {
    let world = without_feed();
    let client = world.signed_in("ann").await;
    let answer = client.get(&world, "/optional").await;
    assert_eq!((answer.status, &answer.json), (200, &"ann".into()));
    // By another instance. This one learns of it only from the store.
    world.store.stop_everything().await;
    for path in ["/me", "/optional"] {
        let answer = client.get(&world, path).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
    }
}

#[tokio::test]
async fn bearer_request_in_an_outage_gets_503_and_the_token_stays_valid() {
    let world = without_feed();
    let client = world.signed_in("ann").await;
    world.store.trouble("get", Trouble::Fail);
    for path in ["/me", "/optional"] {
        let answer = client.get(&world, path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
    world.store.recover();
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

/// How the claims of a session change.
#[derive(Clone, Copy, Debug)]
enum Change {
    Claims,
    /// Only the feed has the mark.
    Mark,
    /// Only the record has the change. There is no feed.
    ClaimsWithoutFeed,
}

impl Change {
    const ALL: [Self; 3] = [Self::Claims, Self::Mark, Self::ClaimsWithoutFeed];

    fn world(self) -> World {
        match self {
            Self::Claims | Self::Mark => World::new(),
            Self::ClaimsWithoutFeed => without_feed(),
        }
    }

    /// Made by another instance. This one reads it from the feed or from the store.
    async fn happens(self, world: &World, role: &str, at: Timestamp) {
        let subject = Subject { realm: "sessions".into(), name: "ann".into() };
        let id = world.store.list(&subject, world.sessions.now()).await.unwrap()[0].id();
        let key = SessionKey { subject: subject.clone(), id };
        // An old time in the record, so that only the mark shows the change.
        let written = if matches!(self, Self::Mark) { Timestamp::EPOCH } else { at };
        let claims = format!(r#"{{"role":"{role}"}}"#);
        world.store.put_claims(&key, &claims, written).await;
        match self {
            Self::Mark => world.store.mark_stale(&FeedEvent::SubjectStale(subject, at)).await.unwrap(),
            Self::Claims => world.store.mark_stale(&FeedEvent::SessionStale(key, at)).await.unwrap(),
            Self::ClaimsWithoutFeed => {}
        }
    }
}

/// The role in the response to the token.
async fn role(client: &Client, world: &World) -> String {
    let answer = client.get(world, "/me").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text("role")
}

#[tokio::test]
async fn token_with_outdated_claims_is_served_with_the_current_ones() {
    for change in Change::ALL {
        let world = change.world();
        let mut client = world.signed_in("ann").await;
        assert_eq!(role(&client, &world).await, "user");
        world.pass(1);
        change.happens(&world, "new", world.sessions.now()).await;
        until(async || role(&client, &world).await == "new").await;
        world.pass(1);
        assert_eq!(role(&client, &world).await, "new");
        let asked = world.store.calls("get");
        for _ in 0..3 {
            assert_eq!(role(&client, &world).await, "new");
        }
        let asks = if matches!(change, Change::ClaimsWithoutFeed) { 3 } else { 0 };
        assert_eq!(world.store.calls("get"), asked + asks, "{change:?}: read once");
        change.happens(&world, "newer", world.sessions.now()).await;
        until(async || role(&client, &world).await == "newer").await;
        assert_eq!(world.store.calls("advance"), 0, "{change:?}");
        world.pass(TTL - 3);
        assert_eq!(role(&client, &world).await, "newer", "until it expires");
        world.pass(1);
        assert_eq!(client.get(&world, "/me").await.status, 401, "{change:?}");
        client.renew(&world).await;
        assert_eq!(role(&client, &world).await, "newer");
    }
}

#[tokio::test]
async fn renewal_or_sign_in_within_the_second_of_a_change_gets_the_new_claims() {
    for change in Change::ALL {
        let world = change.world();
        let mut client = world.signed_in("ann").await;
        world.pass(1);
        // And by a clock that is ahead.
        for (ahead, given) in [(0, "new"), (3000, "newer")] {
            change.happens(&world, given, world.sessions.now() + Duration::from_millis(ahead)).await;
            client.renew(&world).await;
            until(async || role(&client, &world).await == given).await;
        }
        let another = world.signed_in("ann").await;
        assert_eq!(role(&another, &world).await, "user", "{change:?}");
    }
}

#[tokio::test]
async fn marked_token_of_an_ended_session_or_locked_user_is_refused() {
    let locked = Arc::new(AtomicBool::new(false));
    let is_locked = locked.clone();
    let world = World::tuned(move |builder| {
        let is_locked = is_locked.clone();
        builder.reload_claims(move |_, _| {
            let locked = is_locked.load(Ordering::Relaxed);
            let says = if locked { Reload::<Profile>::revoke("locked") } else { Reload::Keep };
            std::future::ready(Ok::<_, Infallible>(says))
        })
    });
    let (client, ended) = (world.signed_in("ann").await, world.signed_in("bob").await);
    let bobs = world.sessions.list("bob").await.unwrap()[0].id;
    for name in ["ann", "bob"] {
        world.sessions.mark_stale(name).await.unwrap();
    }
    assert_eq!((role(&client, &world).await, role(&ended, &world).await), ("user".into(), "user".into()));
    // On another instance.
    let key = SessionKey { subject: Subject { realm: "sessions".into(), name: "bob".into() }, id: bobs };
    world.store.revoke(&Revoke::Session(key), world.sessions.now()).await.unwrap();
    locked.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(client.get(&world, "/me").await.status, 401);
        assert_eq!(ended.get(&world, "/me").await.status, 401);
    }
    assert!(world.sessions.list("ann").await.unwrap().is_empty());
}

#[tokio::test]
async fn marked_token_in_an_outage_gets_503_and_not_401() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.sessions.mark_stale("ann").await.unwrap();
    world.store.trouble("get", Trouble::Fail);
    assert_eq!(client.get(&world, "/me").await.status, 503);
    world.store.recover();
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn change_by_the_client_applies_at_its_next_request() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let bearer = client.authorization();
    assert_eq!(world.ask("POST", "/promote", &[("authorization", &bearer)]).await.status, 200);
    let me = client.get(&world, "/me").await;
    assert_eq!(
        (me.text("role"), &me.json["methods"]),
        ("boss".to_owned(), &serde_json::json!(["pwd", "otp"]))
    );
}

#[tokio::test]
async fn session_revoked_on_another_instance_is_refused() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    assert_eq!(client.get(&world, "/me").await.status, 200);
    let id = world.sessions.list("ann").await.unwrap()[0].id;
    let key = SessionKey { subject: Subject { realm: "sessions".into(), name: "ann".into() }, id };
    let revoke = Revoke::Session(key);
    world.store.revoke(&revoke, world.sessions.now()).await.unwrap();
    until(async || client.get(&world, "/me").await.status == 401).await;
}
