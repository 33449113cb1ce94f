//! Responses that are lost with their connection: the store repeats the call, and the server recognises
//! it.

use serde_json::json;
use tower_sliding_sessions::store::{
    Cap, FeedEvent, FeedFrom, RedisStore, Revoke, SessionKey, SessionStore as _, StoreError,
};

use super::{
    now, open,
    proxy::Proxy,
    record,
    records::{confirmed, edited},
    server::Server,
    store_at, subject,
};

/// A store behind a proxy, whose server has cached all scripts.
async fn start() -> (Server, Proxy, RedisStore) {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let store = store_at(&proxy.url()).await;
    let key = open(&store, &subject()).await;
    let read = store.get(&key).await.expect("an answer");
    let record = edited(&read.record.expect("the session exists"), |json| {
        json["family"]["generation"] = json!(1);
    });
    store.replace(&key, read.version, &record, None).await.expect("an answer");
    store.advance(&key, 0, now()).await.expect("an answer");
    store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer");
    store.revoke(&all_of(&key), now()).await.expect("an answer");
    store.raise_run_id(read.run).await.expect("an answer");
    (server, proxy, store)
}

fn all_of(key: &SessionKey) -> Revoke {
    Revoke::Subject { subject: key.subject.clone(), before: None, except: None }
}

async fn place(store: &RedisStore) -> String {
    store.feed(&FeedFrom::Since(now())).await.expect("the feed").position
}

async fn events(store: &RedisStore, from: String) -> Vec<FeedEvent> {
    let batch = store.feed(&FeedFrom::After(from)).await.expect("the feed");
    assert!(!batch.gap);
    batch.events
}

#[tokio::test]
async fn revocation_whose_response_is_lost_returns_what_it_revoked() {
    let (_server, proxy, store) = start().await;
    let (key, other) = (open(&store, &subject()).await, open(&store, &subject()).await);
    let second = open(&store, &other.subject).await;
    let here = place(&store).await;
    proxy.lose_answers(1);
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer"), [key.id]);
    assert_eq!(proxy.answers_to_lose(), 0);
    proxy.lose_answers(1);
    let mut revoked = store.revoke(&all_of(&other), now()).await.expect("an answer");
    assert_eq!(proxy.answers_to_lose(), 0);
    revoked.sort_unstable();
    let mut expected = vec![other.id, second.id];
    expected.sort_unstable();
    assert_eq!(revoked, expected);
    let events = events(&store, here).await;
    assert_eq!(events.len(), 3, "each once: {events:?}");
    for key in [key, other, second] {
        assert!(events.contains(&FeedEvent::Revoked(key.clone())));
        assert!(store.revoke(&Revoke::Session(key), now()).await.expect("an answer").is_empty());
    }
}

#[tokio::test]
async fn sign_in_whose_response_is_lost_is_no_duplicate_and_returns_what_it_revoked() {
    let (_server, proxy, store) = start().await;
    let old = open(&store, &subject()).await;
    let here = place(&store).await;
    for cap in [None, Some(Cap::RevokeOldest(2))] {
        let new = record(now());
        proxy.lose_answers(1);
        let created = store.create(&old.subject, &new, cap).await;
        assert_eq!(proxy.answers_to_lose(), 0);
        let (_, revoked) = created.expect("it recognises its own session");
        assert_eq!(revoked, if cap.is_some() { vec![old.id] } else { vec![] });
        let key = SessionKey { subject: old.subject.clone(), id: new.id() };
        assert_eq!(store.get(&key).await.expect("an answer").record, Some(new.clone()));
        let again = store.create(&old.subject, &new, cap).await;
        assert!(again.is_err(), "another call is another session: {again:?}");
    }
    assert_eq!(events(&store, here).await, [FeedEvent::Revoked(old)]);
}

#[tokio::test]
async fn rotation_and_replacement_whose_responses_are_lost_apply_once() {
    let (_server, proxy, store) = start().await;
    let key = open(&store, &subject()).await;
    let here = place(&store).await;
    proxy.lose_answers(1);
    let rotated = store.advance(&key, 0, now()).await.expect("an answer");
    assert_eq!(proxy.answers_to_lose(), 0);
    let record = rotated.record.expect("the session exists");
    assert!(rotated.applied && record.generation() == 1);
    let record = confirmed(&record, now());
    let event = FeedEvent::SessionStale(key.clone(), now());
    proxy.lose_answers(1);
    let replaced = store.replace(&key, rotated.version, &record, Some(&event)).await.expect("an answer");
    assert_eq!(proxy.answers_to_lose(), 0);
    assert!(replaced.applied);
    assert_eq!(replaced.record, Some(record));
    assert_eq!(events(&store, here).await, [event]);
}

#[tokio::test]
async fn raise_whose_response_is_lost_applies_once() {
    let (_server, proxy, store) = start().await;
    let key = open(&store, &subject()).await;
    let here = place(&store).await;
    let to = store.get(&key).await.expect("an answer").run.next();
    proxy.lose_answers(1);
    assert_eq!(store.raise_run_id(to).await.expect("an answer"), to);
    assert_eq!(events(&store, here).await, [FeedEvent::Run(to)]);
}

#[tokio::test]
async fn call_whose_responses_are_all_lost_is_an_error() {
    let (_server, proxy, store) = start().await;
    let key = open(&store, &subject()).await;
    proxy.lose_answers(2);
    let revoked = store.revoke(&Revoke::Session(key.clone()), now()).await;
    assert!(matches!(revoked, Err(StoreError::Unavailable(_))), "{revoked:?}");
    let record = store.get(&key).await.expect("an answer").record.expect("the session exists");
    assert!(record.is_revoked(), "it was carried out all the same");
}
