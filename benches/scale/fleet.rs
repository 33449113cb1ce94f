//! Many instances on one store, in virtual time. Each instance is real: its follower, its denylist, its repetition of
//! revocations after an outage. The store is a model that answers by the timing rules of the real ones, and counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tower_sliding_sessions::{
    Clock, Keyring, RunId, SessionId, Sessions, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject,
    },
};

/// How the store's feed is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SQLite and PostgreSQL: one look each 50 ms, an answer without events after 21 looks.
    Polled,
    /// Redis: a reader waits for an event, 900 ms at most.
    Notified,
}

const POLL: Duration = Duration::from_millis(50);
const HEARTBEAT: Duration = Duration::from_millis(900);
const PAGE: u64 = 1000;
/// How long the store takes to answer, with the way there and back.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// What was asked of the store.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) feed: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) gets: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    published: AtomicU64,
    more: Notify,
    down: AtomicBool,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Model(Arc<Inner>);

fn run_id() -> RunId {
    RunId::from_u64(1 << 40).expect("not zero")
}

fn event(number: u64) -> FeedEvent {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let subject = Subject { realm: "fleet".into(), name: format!("user-{number:031}").into() };
    FeedEvent::Revoked(SessionKey { subject, id: SessionId::from_bytes(id) })
}

impl Model {
    async fn answer(&self) -> Result<(), StoreError> {
        tokio::time::sleep(ROUND_TRIP).await;
        if self.0.down.load(Ordering::Relaxed) { Err(StoreError::unavailable("down")) } else { Ok(()) }
    }

    fn published(&self) -> u64 {
        self.0.published.load(Ordering::Relaxed)
    }

    async fn look(&self, from: u64) -> Result<FeedBatch, StoreError> {
        self.0.counts.feed.fetch_add(1, Ordering::Relaxed);
        self.answer().await?;
        let to = self.published().min(from + PAGE);
        self.0.counts.delivered.fetch_add(to - from, Ordering::Relaxed);
        let events: Vec<_> = (from..to).map(event).collect();
        Ok(FeedBatch { more: to - from == PAGE, events, position: to.to_string(), run: run_id(), gap: false })
    }

    /// Ready when there is an event after this place.
    async fn event_after(&self, place: u64) {
        loop {
            let more = self.0.more.notified();
            if self.published() > place || self.0.down.load(Ordering::Relaxed) {
                return;
            }
            more.await;
        }
    }
}

impl SessionStore for Model {
    async fn create(
        &self,
        _: &Subject,
        _: &SessionRecord,
        _: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        Ok((run_id(), Vec::new()))
    }

    async fn get(&self, _: &SessionKey) -> Result<Snapshot, StoreError> {
        self.0.counts.gets.fetch_add(1, Ordering::Relaxed);
        self.answer().await?;
        Ok(Snapshot { run: run_id(), version: 0, record: None, applied: false })
    }

    async fn replace(
        &self,
        key: &SessionKey,
        _: u64,
        _: &SessionRecord,
        _: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        self.get(key).await
    }

    async fn revoke(&self, _: &Revoke, _: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.answer().await.map(|()| Vec::new())
    }

    async fn mark_stale(&self, _: &FeedEvent) -> Result<(), StoreError> {
        self.answer().await
    }

    async fn list(&self, _: &Subject, _: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.answer().await.map(|()| Vec::new())
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        Ok(to.max(run_id()))
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let place = match from {
            FeedFrom::Since(_) => return self.look(0).await,
            FeedFrom::After(place) => place.parse().map_err(StoreError::corrupt)?,
        };
        if self.0.kind == Kind::Polled {
            for _ in 0..20 {
                let batch = self.look(place).await?;
                if !batch.events.is_empty() {
                    return Ok(batch);
                }
                tokio::time::sleep(POLL).await;
            }
            return self.look(place).await;
        }
        let _silence = tokio::time::timeout(HEARTBEAT, self.event_after(place)).await;
        self.look(place).await
    }
}

/// The virtual time.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000) + self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

pub(crate) struct Fleet {
    inner: Arc<Inner>,
    instances: Vec<Sessions<()>>,
}

/// What a store was asked in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) feed: u64,
    pub(crate) delivered: u64,
    pub(crate) gets: u64,
}

impl Fleet {
    /// Instances that have read the feed, in which there are so many events.
    pub(crate) async fn start(kind: Kind, instances: usize, published: u64, pause: Duration) -> Self {
        let inner = Arc::new(Inner {
            kind,
            published: published.into(),
            more: Notify::new(),
            down: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let keys = Keyring::hs256("a secret of at least thirty-two bytes").expect("a secret");
        let started = Instant::now();
        let mut fleet = Self { inner, instances: Vec::new() };
        for number in 0..instances {
            let store = Model(fleet.inner.clone());
            let builder = Sessions::builder(keys.clone())
                .realm("fleet")
                .store(store)
                .verified_cache(0)
                .feed_pause(pause);
            let sessions = builder.clock(VirtualClock(started)).build().expect("valid settings");
            // Each request starts the follower, if it does not run.
            let layer = tower::Layer::layer(&sessions.layer().optional(), tower::service_fn(nothing));
            let mut layer = layer;
            let _any = tower::Service::call(&mut layer, http_request()).await;
            fleet.instances.push(sessions);
            // Instances do not start at the same moment.
            if number % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        fleet
    }

    fn counts(&self) -> Rates {
        let Counts { feed, delivered, gets } = &self.inner.counts;
        let [feed, delivered, gets] = [feed, delivered, gets].map(|count| count.load(Ordering::Relaxed));
        Rates { feed, delivered, gets }
    }

    /// One second with so many revocations.
    pub(crate) async fn second(&self, revocations: u64) -> Rates {
        let before = self.counts();
        for part in 0..1000 {
            let now = revocations * (part + 1) / 1000 - revocations * part / 1000;
            if now > 0 {
                self.inner.published.fetch_add(now, Ordering::Relaxed);
                self.inner.more.notify_waiters();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let after = self.counts();
        Rates {
            feed: after.feed - before.feed,
            delivered: after.delivered - before.delivered,
            gets: after.gets - before.gets,
        }
    }

    /// The store is unavailable for three seconds. Returns the reads of each second after that, until there are none.
    pub(crate) async fn outage(&self) -> Vec<u64> {
        self.inner.down.store(true, Ordering::Relaxed);
        self.inner.more.notify_waiters();
        self.second(0).await;
        self.second(0).await;
        self.second(0).await;
        self.inner.down.store(false, Ordering::Relaxed);
        let mut seconds = Vec::new();
        loop {
            let gets = self.second(0).await.gets;
            if gets == 0 && seconds.len() > 3 {
                return seconds;
            }
            seconds.push(gets);
        }
    }

    pub(crate) async fn stop(self) {
        for sessions in &self.instances {
            sessions.shutdown().await;
        }
    }
}

fn http_request() -> axum::http::Request<axum::body::Body> {
    axum::http::Request::new(axum::body::Body::empty())
}

async fn nothing(
    _: axum::http::Request<axum::body::Body>,
) -> Result<axum::http::Response<axum::body::Body>, std::convert::Infallible> {
    Ok(axum::http::Response::new(axum::body::Body::empty()))
}

pub(crate) fn in_virtual_time(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

/// Reads of the feed, and what a short outage leads to.
pub(crate) fn report() {
    println!(
        "| feed | pause | instances | sign-outs a second | reads a second | of one instance | events delivered |"
    );
    println!("|---|---|---|---|---|---|---|");
    for kind in [Kind::Polled, Kind::Notified] {
        for (pause, instances, revocations) in [
            (50, 10, 0),
            (50, 10, 100),
            (50, 100, 100),
            (50, 1000, 0),
            (50, 1000, 10),
            (50, 1000, 100),
            (50, 1000, 1000),
            (500, 1000, 1000),
            (0, 1000, 1000),
        ] {
            in_virtual_time(async {
                let fleet = Fleet::start(kind, instances, 0, Duration::from_millis(pause)).await;
                fleet.second(revocations).await;
                let Rates { feed, delivered, .. } = fleet.second(revocations).await;
                let each = feed / instances as u64;
                println!(
                    "| {kind:?} | {pause} ms | {instances} | {revocations} | {feed} | {each} | {delivered} |"
                );
                fleet.stop().await;
            });
        }
    }
    println!(
        "\n| instances | entries of the denylist | reads of records in the first seconds after an outage | in all |"
    );
    println!("|---|---|---|---|");
    for (instances, entries) in [(10, 1000), (100, 1000), (1000, 1000)] {
        in_virtual_time(async {
            let fleet = Fleet::start(Kind::Notified, instances, entries, Duration::from_millis(50)).await;
            let seconds = fleet.outage().await;
            let (first, all): (Vec<_>, u64) = (seconds.iter().take(6).collect(), seconds.iter().sum());
            println!("| {instances} | {entries} | {first:?} | {all} in {} s |", seconds.len());
            fleet.stop().await;
        });
    }
}
