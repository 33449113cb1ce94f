//! Services that follow the feed of the issuer's store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_sliding_sessions::{
    EventKind, RunId, SessionId, Timestamp, Verified,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
};

use crate::support::{Issuer, Profile, Service, settle};

/// A memory store that can be made unavailable, and counts its writes.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: MemoryStore,
    is_off: AtomicBool,
    writes: AtomicUsize,
    gets: AtomicUsize,
}

impl Switch {
    pub(crate) fn new(memory: MemoryStore) -> Self {
        Self(Arc::new(Inner {
            memory,
            is_off: AtomicBool::new(false),
            writes: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
        }))
    }

    fn turn(&self, is_off: bool) {
        self.0.is_off.store(is_off, Ordering::SeqCst);
    }

    fn writes(&self) -> usize {
        self.0.writes.load(Ordering::SeqCst)
    }

    fn gets(&self) -> usize {
        self.0.gets.load(Ordering::SeqCst)
    }

    fn read(&self) -> Result<&MemoryStore, StoreError> {
        match self.0.is_off.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("turned off")),
            false => Ok(&self.0.memory),
        }
    }

    fn write(&self) -> Result<&MemoryStore, StoreError> {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        self.read()
    }
}

impl SessionStore for Switch {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.write()?.create(subject, record, cap).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.0.gets.fetch_add(1, Ordering::SeqCst);
        self.read()?.get(key).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        self.write()?.replace(key, version, record, event).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.write()?.revoke(what, at).await
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.write()?.mark_stale(event).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.read()?.list(subject, now).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.write()?.raise_run_id(to).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let batch = self.read()?.feed(from).await?;
        // Turned off while it waited.
        self.read().map(|_| batch)
    }
}

/// A service that has read the feed.
async fn following(
    issuer: &Issuer,
    tune: impl FnOnce(crate::support::Builder) -> crate::support::Builder,
) -> Service {
    let service = Service::new(issuer, |builder| tune(builder.follow(issuer.store.clone())));
    // The store has no record of a token without a session, so only the feed decides about it.
    let token = issuer.billing(&issuer.sign_in().await, "").await;
    while service.status(&token).await != 200 {
        settle().await;
    }
    service
}

/// Waits for an answer, at most a second.
async fn within_a_second(service: &Service, token: &str, status: u16) {
    within(1, service, token, status).await;
}

async fn within(seconds: u64, service: &Service, token: &str, status: u16) {
    let answered = async {
        while service.status(token).await != status {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(seconds), answered).await.is_ok(), "still not {status}");
}

#[tokio::test]
async fn revoked_session_is_refused_within_a_second() {
    let issuer = Issuer::new();
    let service = following(&issuer, |builder| builder).await;
    let (tokens, others) = (issuer.sign_in().await, issuer.sign_in().await);
    let billing = issuer.billing(&tokens, "sid=true").await;
    let without_session = issuer.billing(&tokens, "").await;
    for token in [&tokens.access, &billing, &without_session, &others.access] {
        assert_eq!(service.status(token).await, 200);
    }
    let writes = issuer.store.writes();
    issuer.sessions.revoke("ann", Issuer::session_of(&tokens.access)).await.expect("an answer");
    within_a_second(&service, &tokens.access, 401).await;
    within_a_second(&service, &billing, 401).await;
    assert_eq!(service.status(&others.access).await, 200);
    assert_eq!(service.status(&without_session).await, 200, "it names no session");
    assert_eq!(issuer.store.writes(), writes + 1, "the service writes nothing");
}

#[tokio::test]
async fn warm_request_asks_no_store() {
    let issuer = Issuer::new();
    let service = following(&issuer, |builder| builder).await;
    let tokens = issuer.sign_in().await;
    assert_eq!(service.status(&tokens.access).await, 200);
    let (gets, writes) = (issuer.store.gets(), issuer.store.writes());
    for _ in 0..100 {
        assert_eq!(service.status(&tokens.access).await, 200);
    }
    assert_eq!((issuer.store.gets(), issuer.store.writes()), (gets, writes));
}

#[tokio::test]
async fn emergency_stop_and_stale_marks_count_within_a_second() {
    let issuer = Issuer::new();
    let service = following(&issuer, |builder| builder).await;
    let tokens = issuer.sign_in().await;
    let billing = issuer.billing(&tokens, "").await;
    issuer.pass(1);
    issuer.sessions.mark_stale("ann").await.expect("an answer");
    within_a_second(&service, &billing, 401).await;
    assert_eq!(service.status(&tokens.access).await, 200, "the record has the current claims");
    issuer.pass(1);
    let tokens = issuer.sign_in().await;
    let (billing, with_session) =
        (issuer.billing(&tokens, "").await, issuer.billing(&tokens, "sid=true").await);
    for token in [&tokens.access, &billing, &with_session] {
        assert_eq!(service.status(token).await, 200);
    }
    issuer.pass(1);
    issuer.sessions.revoke_everything().await.expect("an answer");
    for token in [&tokens.access, &billing, &with_session] {
        within_a_second(&service, token, 401).await;
    }
    issuer.pass(1);
    let tokens = issuer.sign_in().await;
    for token in
        [&issuer.billing(&tokens, "").await, &issuer.billing(&tokens, "sid=true").await, &tokens.access]
    {
        within_a_second(&service, token, 200).await;
    }
}

#[tokio::test]
async fn service_that_cannot_know_answers_503_and_recovers() {
    let issuer = Issuer::new();
    let service = following(&issuer, |builder| builder).await;
    let tokens = issuer.sign_in().await;
    let billing = issuer.billing(&tokens, "").await;
    assert_eq!((service.status(&tokens.access).await, service.status(&billing).await), (200, 200));
    issuer.store.turn(true);
    issuer.pass(6);
    settle().await;
    for token in [&tokens.access, &billing] {
        let answer = service.get(token).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    }
    let writes = issuer.store.writes();
    issuer.store.turn(false);
    within_a_second(&service, &tokens.access, 200).await;
    // The follower asks again after 250 ms, and a store without events answers after a second.
    within(3, &service, &billing, 200).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(issuer.store.writes(), writes, "the issuer's instances write lost revocations again");
}

#[tokio::test]
async fn lifetime_decides_while_the_feed_lags_only_where_that_was_chosen() {
    let issuer = Issuer::new();
    let service = following(&issuer, |builder| builder.accept_while_feed_lags()).await;
    let tokens = issuer.sign_in().await;
    issuer.store.turn(true);
    issuer.pass(6);
    settle().await;
    assert_eq!(service.status(&tokens.access).await, 200);
    issuer.pass(300);
    assert_eq!(service.status(&tokens.access).await, 401);
    // Without a first read of the feed, nothing is known.
    let cold = Service::new(&issuer, |builder| builder.follow(issuer.store.clone()).accept_while_feed_lags());
    issuer.store.turn(false);
    let tokens = issuer.sign_in().await;
    issuer.store.turn(true);
    assert_eq!(cold.status(&tokens.access).await, 503);
}

#[tokio::test]
async fn without_a_store_a_revoked_session_is_accepted_until_its_token_expires() {
    let issuer = Issuer::new();
    let service = Service::new(&issuer, |builder| builder);
    let tokens = issuer.sign_in().await;
    issuer.sessions.revoke_everything().await.expect("an answer");
    settle().await;
    issuer.pass(299);
    assert_eq!(service.status(&tokens.access).await, 200);
    issuer.pass(1);
    assert_eq!(service.status(&tokens.access).await, 401);
    assert_eq!(service.reported(), [] as [EventKind; 0]);
}

/// What a handler of the service gets for this token.
async fn verified(
    issuer: &Issuer,
    tune: impl FnOnce(crate::support::Builder) -> crate::support::Builder,
    token: &str,
) -> Verified<Profile> {
    let (send, receive) = std::sync::mpsc::channel();
    let handler =
        axum::routing::get(async move |token: Verified<Profile>| send.send(token).expect("it waits"));
    let service =
        Service::new(issuer, tune).routed(|app, _, layer| app.route("/me", handler).route_layer(layer));
    while service.status(token).await != 200 {
        settle().await;
    }
    receive.recv().expect("a token")
}

#[tokio::test]
async fn stream_ends_with_the_session_where_the_feed_is_followed() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let billing = issuer.billing(&tokens, "sid=true").await;
    let follow = |builder: crate::support::Builder| builder.follow(issuer.store.clone());
    let streams =
        [verified(&issuer, follow, &tokens.access).await, verified(&issuer, follow, &billing).await];
    let ended = futures_util::future::join_all(streams.iter().map(Verified::ended));
    let mut ended = std::pin::pin!(ended);
    issuer.sign_in().await;
    assert!(tokio::time::timeout(Duration::from_millis(50), ended.as_mut()).await.is_err());
    issuer.sessions.revoke("ann", Issuer::session_of(&tokens.access)).await.expect("an answer");
    assert!(tokio::time::timeout(Duration::from_secs(1), ended).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn stream_ends_with_the_token_where_there_is_no_store() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let stream = verified(&issuer, |builder| builder, &tokens.access).await;
    let ended = tokio::spawn(stream.ended());
    issuer.sessions.revoke_everything().await.expect("an answer");
    tokio::time::sleep(Duration::from_secs(299)).await;
    issuer.pass(299);
    assert!(!ended.is_finished());
    issuer.pass(1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(ended.is_finished());
}
