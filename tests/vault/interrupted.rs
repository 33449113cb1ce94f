//! An instance dies, or is slow, between the provider's answer and its own write.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tower_sliding_sessions::{
    Session,
    store::MemoryStore,
    vault::{Lost, Provider, RefreshError, TokenSet, VaultError},
};

use crate::{
    failing_store::FailingStore,
    provider::{LIFETIME, Mode, Upstream},
    site::{self, DAY, Site, Time},
};

const DEADLINE: Duration = Duration::from_millis(300);
/// The store's operations that write records and values.
const WRITES: [&str; 2] = ["replace", "replace_value"];

/// A provider whose renewal, once it has the answer, waits until `release`.
fn slow(upstream: &Upstream, clock: &Time, answered: &Arc<Notify>, release: &Arc<Notify>) -> Provider {
    let (endpoint, answered, release) = (upstream.endpoint(clock.clone()), answered.clone(), release.clone());
    let renew = move |tokens| {
        let (endpoint, answered, release) = (endpoint.clone(), answered.clone(), release.clone());
        async move {
            let answer = endpoint.renew(tokens).await;
            answered.notify_one();
            release.notified().await;
            answer
        }
    };
    Provider::new("github").renew(renew).deadline(Duration::from_secs(60))
}

fn quick(upstream: &Upstream, clock: &Time) -> Provider {
    upstream.provider(clock.clone()).with_subject(DAY).deadline(DEADLINE)
}

/// The owner of the lease dies with its runtime, after the provider has answered. Returns an instance that lives.
async fn after_a_death(upstream: &Upstream) -> Site {
    let (store, clock) = (MemoryStore::new().expect("random bytes"), site::clock());
    let alive = Site::new(store.clone(), &clock, quick(upstream, &clock));
    let tokens = upstream.sign_in(alive.now());
    alive.vault.keep_for_subject("ann", "github", &tokens).await.expect("kept");
    clock.advance(LIFETIME);
    let (answered, never) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dying = Site::new(store, &clock, slow(upstream, &clock, &answered, &never).with_subject(DAY));
    runtime.spawn(async move { dying.vault.access_token_for_subject("ann", "github").await });
    answered.notified().await;
    runtime.shutdown_background();
    assert_eq!(upstream.requests(), 1);
    // Its lease was for 60 seconds, two deadlines of the store and 5 seconds. The provider is not asked before.
    let waiting = alive.vault.access_token_for_subject("ann", "github").await;
    assert!(matches!(waiting, Err(VaultError::Unavailable(_))), "{waiting:?}");
    clock.advance(Duration::from_secs(60));
    let waiting = alive.vault.access_token_for_subject("ann", "github").await;
    assert!(matches!(waiting, Err(VaultError::Unavailable(_))), "{waiting:?}");
    assert_eq!(upstream.requests(), 1);
    clock.advance(Duration::from_secs(20));
    alive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn death_between_answer_and_write_is_a_typed_loss_where_refresh_tokens_rotate() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let alive = after_a_death(&upstream).await;
    for _ in 0..5 {
        let lost = alive.vault.access_token_for_subject("ann", "github").await;
        assert!(matches!(lost, Err(VaultError::SignInAgain(Lost::Interrupted))), "{lost:?}");
    }
    assert_eq!(upstream.requests(), 2, "the old refresh token is tried once");
    assert_eq!(alive.failures(), ["interrupted"]);
    let again = upstream.sign_in(alive.now());
    alive.vault.keep_for_subject("ann", "github", &again).await.expect("kept");
    assert!(alive.vault.access_token_for_subject("ann", "github").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn death_between_answer_and_write_loses_nothing_where_refresh_tokens_stay() {
    let upstream = Upstream::start(Mode::Keeps).await;
    let alive = after_a_death(&upstream).await;
    alive.vault.access_token_for_subject("ann", "github").await.expect("a token");
    assert_eq!((upstream.requests(), alive.renewed()), (2, 1));
    assert!(alive.failures().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn late_answer_of_a_slow_instance_is_written_over_the_lease_of_another() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let (store, clock) = (MemoryStore::new().expect("random bytes"), site::clock());
    let signals = [(); 4].map(|()| Arc::<Notify>::default());
    let [first_answered, first_goes_on, second_answered, second_goes_on] = &signals;
    let one = Site::new(
        store.clone(),
        &clock,
        slow(&upstream, &clock, first_answered, first_goes_on).with_subject(DAY),
    );
    let two =
        Site::new(store, &clock, slow(&upstream, &clock, second_answered, second_goes_on).with_subject(DAY));
    let tokens = upstream.sign_in(one.now());
    one.vault.keep_for_subject("ann", "github", &tokens).await.expect("kept");
    clock.advance(LIFETIME);
    let use_at = |site: &Site| {
        let site = site.clone();
        tokio::spawn(async move { site.vault.access_token_for_subject("ann", "github").await })
    };
    let first = use_at(&one);
    first_answered.notified().await;
    // The lease of the first ends, and the second asks with the old refresh token.
    clock.advance(Duration::from_secs(80));
    let second = use_at(&two);
    second_answered.notified().await;
    first_goes_on.notify_one();
    let first = first.await.expect("no panic").expect("a token");
    second_goes_on.notify_one();
    let second = second.await.expect("no panic").expect("the token of the first");
    assert_eq!(first, second);
    assert_ne!(first.access_token(), tokens.access_token());
    assert_eq!(upstream.requests(), 2);
    assert!(one.failures().is_empty() && two.failures().is_empty(), "nothing is lost");
    assert_eq!(two.vault.access_token_for_subject("ann", "github").await.expect("a token"), first);
}

async fn expired(site: &Site) -> Session {
    let session = site.open("ann").await;
    let tokens = TokenSet::new("secret-access-token").with_refresh_token("secret-refresh-token");
    let tokens = tokens.expires_at(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    session
}

#[tokio::test]
async fn renewal_that_panics_or_hangs_is_a_failure_and_a_refusal_after_it_says_so() {
    let calls = Arc::new(AtomicUsize::new(0));
    let site = Site::alone(|_| {
        let renew = move |_| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                match call {
                    0 => panic!("the test says so"),
                    1 => std::future::pending().await,
                    _ => Err(RefreshError::Refused),
                }
            }
        };
        Provider::new("github").renew(renew).deadline(Duration::from_millis(50))
    });
    let session = expired(&site).await;
    for _ in 0..2 {
        let failed = site.vault.access_token(&session, "github").await;
        assert!(matches!(failed, Err(VaultError::Unavailable(_))), "{failed:?}");
        site.clock.advance(Duration::from_secs(5));
    }
    // The provider may have rotated the refresh token in the answer that never came.
    let lost = site.vault.access_token(&session, "github").await;
    assert!(matches!(lost, Err(VaultError::SignInAgain(Lost::Interrupted))), "{lost:?}");
    assert_eq!(site.failures(), ["unavailable", "unavailable", "interrupted"]);
}

#[tokio::test]
async fn caller_that_stops_waiting_does_not_stop_the_renewal() {
    let upstream = Upstream::start(Mode::Rotates).await;
    let site = Site::alone(|clock| upstream.provider(clock));
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now()).expires_at(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    let stopped =
        tokio::time::timeout(Duration::from_millis(10), site.vault.access_token(&session, "github")).await;
    assert!(stopped.is_err());
    let used = site.vault.access_token(&session, "github").await.expect("a token");
    assert_ne!(used.access_token(), tokens.access_token());
    assert_eq!(upstream.requests(), 1);
}

/// An expired token, and a provider whose answer waits for the switch.
async fn failing(with_subject: bool) -> (FailingStore, Site, Session, Upstream, [Arc<Notify>; 2]) {
    let (store, clock) = (FailingStore::new(), site::clock());
    let upstream = Upstream::start(Mode::Rotates).await;
    let signals = [(); 2].map(|()| Arc::<Notify>::default());
    let [answered, goes_on] = &signals;
    let provider = slow(&upstream, &clock, answered, goes_on);
    let provider = if with_subject { provider.with_subject(DAY) } else { provider };
    let site = Site::new(store.clone(), &clock, provider);
    let session = site.open("ann").await;
    let tokens = upstream.sign_in(site.now()).expires_at(site.now());
    site.vault.keep(&session, "github", &tokens).await.expect("kept");
    (store, site, session, upstream, signals)
}

#[tokio::test]
async fn answer_that_the_store_takes_late_is_kept() {
    for with_subject in [false, true] {
        let (store, site, session, upstream, [answered, goes_on]) = failing(with_subject).await;
        let used = tokio::spawn({
            let (site, session) = (site.clone(), session.clone());
            async move { site.vault.access_token(&session, "github").await }
        });
        answered.notified().await;
        store.fail(&WRITES);
        goes_on.notify_one();
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.fail(&[]);
        let used = used.await.expect("no panic").expect("a token");
        assert_eq!(site.vault.access_token(&session, "github").await.expect("it was written"), used);
        assert_eq!((upstream.requests(), site.renewed(), site.failures().len()), (1, 1, 0));
    }
}

/// Time is paused: the store is tried for ten seconds.
#[tokio::test(start_paused = true)]
async fn answer_that_the_store_does_not_take_is_used_and_reported() {
    let store = FailingStore::new();
    let fails = store.clone();
    let renew = move |_| {
        fails.fail(&WRITES);
        async { Ok(TokenSet::new("renewed")) }
    };
    let site = Site::new(store.clone(), &site::clock(), Provider::new("github").renew(renew));
    let session = expired(&site).await;
    let used = site.vault.access_token(&session, "github").await.expect("the access token is good");
    assert_eq!((used.access_token(), site.failures()), ("renewed", vec!["unwritten"]));
    // The lease lasts on, so the old refresh token is not used by others before its end.
    store.fail(&[]);
    let waiting = site.vault.access_token(&session, "github").await;
    assert!(matches!(waiting, Err(VaultError::Unavailable(_))), "{waiting:?}");
    assert_eq!(site.renewed(), 0);
}

#[tokio::test]
async fn shutdown_waits_for_the_answer_of_the_provider() {
    let (_store, site, session, upstream, [answered, goes_on]) = failing(false).await;
    let used = tokio::spawn({
        let (site, session) = (site.clone(), session.clone());
        async move { site.vault.access_token(&session, "github").await }
    });
    answered.notified().await;
    let mut shutdown = Box::pin(site.sessions.shutdown());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut shutdown).await.is_err());
    goes_on.notify_one();
    shutdown.await;
    assert_eq!((site.renewed(), upstream.requests()), (1, 1));
    used.await.expect("no panic").expect("a token");
}
