//! Bearer tokens where this instance does not know what ended: the store is asked.

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
    store::{MemoryStore, Revoke, SessionKey, SessionStore as _, StaleScope, Subject},
};

use crate::support::{Client, Probe, Profile, TTL, Trouble, World, idle, until};

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
    world.store.stop_everything().await;
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

/// How a session's tokens come to be out of date.
#[derive(Clone, Copy, Debug)]
enum Change {
    Claims,
    /// As the feed tells of it, and the record's mark does not.
    Mark,
    /// As the record tells of it, and no feed does.
    ClaimsWithoutFeed,
}

impl Change {
    const ALL: [Self; 3] = [Self::Claims, Self::Mark, Self::ClaimsWithoutFeed];

    fn world(self) -> World {
        match self {
            Self::Claims | Self::Mark => World::new(),
            Self::ClaimsWithoutFeed => blind(),
        }
    }

    /// By another instance: this one hears of it, or asks.
    async fn happens(self, world: &World, role: &str, at: Timestamp) {
        let subject = Subject { realm: "sessions".into(), name: "ann".into() };
        let id = world.store.list(&subject, world.sessions.now()).await.unwrap()[0].id;
        let key = SessionKey { subject: subject.clone(), id };
        // Long before, for the mark alone to tell of it.
        let written = if matches!(self, Self::Mark) { Timestamp::EPOCH } else { at };
        let claims = format!(r#"{{"role":"{role}"}}"#);
        world.store.put_claims(&key, &claims, written).await;
        match self {
            Self::Mark => world.store.mark_stale(&StaleScope::Subject(subject), at).await.unwrap(),
            Self::Claims => world.store.mark_stale(&StaleScope::Session(key), at).await.unwrap(),
            Self::ClaimsWithoutFeed => {}
        }
    }
}

/// The role that the token is served with.
async fn role(client: &Client, world: &World) -> String {
    let answer = client.get(world, "/me").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text("role")
}

#[tokio::test]
async fn a_token_whose_claims_are_out_of_date_is_served_with_those_of_now() {
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
        assert_eq!(world.store.calls("get"), asked + asks, "{change:?}: found once");
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
async fn a_client_that_renews_or_signs_in_in_the_second_of_a_change_is_kept_waiting_for_nothing() {
    for change in Change::ALL {
        let world = change.world();
        let mut client = world.signed_in("ann").await;
        world.pass(1);
        // And where the clock that dated it is ahead.
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
async fn a_marked_token_of_a_session_that_ended_or_whose_user_is_out_is_refused() {
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
    // By another instance.
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
async fn while_the_store_is_away_a_marked_token_is_not_served_and_not_refused() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.sessions.mark_stale("ann").await.unwrap();
    world.store.trouble("get", Trouble::Fail);
    assert_eq!(client.get(&world, "/me").await.status, 503);
    world.store.recover();
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn what_a_client_changes_of_its_own_session_counts_at_its_next_request() {
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
