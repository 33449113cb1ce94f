//! The issuer's public keys, fetched from the address of its JWK Set (RFC 7517).
//!
//! One fetch runs at a time, and at most one fetch begins in [`FLOOR`]. So tokens with unknown keys cannot cause more
//! fetches. While the issuer does not answer, the known keys are used until they are too old.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode, Uri, header};
use tokio::sync::watch;

use crate::{
    engine::{KeySource, UnknownKey},
    event::{EventKind, Events},
    http_client::{DynHttpClient, HttpClientError},
    time::{Clock, millis},
    timer::within,
    token::{KeyError, PublicKey},
};

/// The shortest time from the start of one fetch to the start of the next.
pub(super) const FLOOR: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const TIME: Duration = Duration::from_secs(5);
/// The longest response, in bytes.
const LONGEST: usize = 64 * 1024;
/// After each further failure in a row, the pause before the next fetch doubles, up to this multiple of [`FLOOR`].
const MOST_PAUSES: u32 = 6;

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the HTTP client failed")]
    Client(#[from] HttpClientError),
    #[error("the issuer answered with status {0}, not 200; redirects are not followed")]
    Status(StatusCode),
    #[error("the response is not a JWK Set")]
    Keys(#[from] KeyError),
    #[error("the address of the keys makes no request")]
    Address(#[from] http::Error),
}

/// A function that puts fetched keys in force.
type Apply = dyn Fn(&[PublicKey]) + Send + Sync;

/// How long keys are used.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyAges {
    /// The longest time until the keys are fetched again. The issuer's `max-age` may be shorter.
    pub(super) refresh: Duration,
    /// How much longer than `refresh` keys are used while the issuer does not answer.
    pub(super) stale: Duration,
}

/// The keys from one address.
pub(super) struct Jwks {
    uri: Uri,
    client: DynHttpClient,
    clock: Arc<dyn Clock>,
    events: Events,
    ages: KeyAges,
    apply: OnceLock<Box<Apply>>,
    /// The number of the last change whose keys were put in force. An older change must not replace these keys.
    applied: Mutex<u64>,
    /// When [`Jwks::is_due`] must run next, in milliseconds of the monotonic clock.
    due: AtomicU64,
    state: Mutex<State>,
}

/// All times are of the monotonic clock.
#[derive(Default)]
struct State {
    /// The fetched keys in force, as JWKs, and when they were fetched.
    keys: Option<(Vec<String>, Duration)>,
    /// When the keys must be fetched again.
    fresh_until: Duration,
    began: Option<Duration>,
    failures: u32,
    etag: Option<http::HeaderValue>,
    /// Whether the application set the keys in force. Such keys are as good as fetched keys, and do not become too old.
    pinned: bool,
    /// Counts the changes of `keys`, so that the changes are put in force in their order.
    change: u64,
    /// Counts the calls of [`Jwks::forget`]. The result of a fetch that began before the last call is dropped.
    epoch: u64,
    /// Closed when the fetch ends, also if the fetch fails or panics.
    running: Option<watch::Receiver<()>>,
}

impl Jwks {
    pub(super) fn new(
        uri: Uri,
        client: DynHttpClient,
        clock: Arc<dyn Clock>,
        events: Events,
        ages: KeyAges,
    ) -> Arc<Self> {
        Arc::new(Self {
            uri,
            client,
            clock,
            events,
            ages,
            apply: OnceLock::new(),
            applied: Mutex::default(),
            due: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Sets the function that gets the fetched keys. Only the first call has an effect.
    pub(super) fn apply_to(&self, apply: impl Fn(&[PublicKey]) + Send + Sync + 'static) {
        let _only_once = self.apply.set(Box::new(apply));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the keys now, or waits for the running fetch. Does nothing within [`FLOOR`] of the start of the last
    /// fetch.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let running = self.begin(self.clock.monotonic(), &mut self.lock());
        if let Some(running) = running {
            ended(running).await;
        }
    }

    /// The application puts other keys in force. The next fetch replaces these keys, even if it returns the same keys
    /// as the last fetch.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        (state.keys, state.etag) = (None, None);
        state.pinned = true;
        state.change += 1;
        state.epoch += 1;
        self.set_due(&state);
    }

    /// Puts the keys of a change in force, unless a later change is already in force.
    fn put_in_force(&self, keys: &[PublicKey], change: u64) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if change > *applied
            && let Some(apply) = self.apply.get()
        {
            *applied = change;
            apply(keys);
        }
    }

    /// The running fetch. If no fetch is running, starts a fetch. Returns `None` within [`FLOOR`] of the start of the
    /// last fetch, and without a Tokio runtime.
    fn begin(self: &Arc<Self>, now: Duration, state: &mut State) -> Option<watch::Receiver<()>> {
        if let Some(running) = state.running.clone().filter(|running| running.has_changed().is_ok()) {
            return Some(running);
        }
        if state.began.is_some_and(|began| now < began.saturating_add(FLOOR)) {
            return None;
        }
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (running, receiver) = watch::channel(());
        state.began = Some(now);
        state.running = Some(receiver.clone());
        let (jwks, etag, epoch) = (self.clone(), state.etag.clone(), state.epoch);
        runtime.spawn(async move {
            let fetched = jwks.fetch(etag).await;
            jwks.take_over(fetched, epoch);
            drop(running);
        });
        Some(receiver)
    }

    async fn fetch(&self, etag: Option<http::HeaderValue>) -> Result<Response<Vec<u8>>, FetchError> {
        let mut request = Request::get(self.uri.clone()).header(header::ACCEPT, "application/json");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = self.client.send(request.body(Vec::new())?, LONGEST, TIME).await?;
        match response.status() {
            StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(response),
            other => Err(FetchError::Status(other)),
        }
    }

    /// Puts the fetched keys in force, or reports why the fetch failed. The state is not locked while the application's
    /// hook runs.
    fn take_over(&self, fetched: Result<Response<Vec<u8>>, FetchError>, epoch: u64) {
        let now = self.clock.monotonic();
        let read = fetched.and_then(|response| self.read(&response).map(|keys| (keys, response)));
        let mut state = self.lock();
        // The application has set other keys since the fetch began.
        if state.epoch != epoch {
            return;
        }
        match read {
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let pauses = 2_u32.saturating_pow(state.failures - 1).min(MOST_PAUSES);
                state.fresh_until = now.saturating_add(FLOOR.saturating_mul(pauses));
                self.set_due(&state);
                drop(state);
                self.events.failed(EventKind::KeyFetchFailed, &error);
            }
            Ok((keys, response)) => {
                let known = state.keys.take().map(|(known, _)| known);
                let jwks = match &keys {
                    Some(keys) => keys.iter().map(PublicKey::to_jwk).collect(),
                    None => known.clone().unwrap_or_default(),
                };
                let changed = known.as_ref() != Some(&jwks);
                state.change += u64::from(changed);
                let change = state.change;
                state.keys = Some((jwks, now));
                (state.failures, state.pinned) = (0, false);
                state.fresh_until = now.saturating_add(self.max_age(&response));
                state.etag = response.headers().get(header::ETAG).cloned().or(state.etag.take());
                self.set_due(&state);
                drop(state);
                if let (true, Some(keys)) = (changed, keys) {
                    self.put_in_force(&keys, change);
                }
            }
        }
    }

    /// The keys of a response. Returns `None` if the keys have not changed.
    fn read(&self, response: &Response<Vec<u8>>) -> Result<Option<Vec<PublicKey>>, FetchError> {
        if response.status() == StatusCode::OK {
            return Ok(Some(PublicKey::from_jwk_set(response.body())?));
        }
        // A 304 says that the known keys have not changed. Without known keys, a 304 is an error.
        match self.lock().keys {
            Some(_) => Ok(None),
            None => Err(FetchError::Status(response.status())),
        }
    }

    /// How long the response is fresh: `max-age` minus `Age`, but at least [`FLOOR`] and at most `ages.refresh`.
    fn max_age(&self, response: &Response<Vec<u8>>) -> Duration {
        let number = |text: &str| text.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let directives = text(header::CACHE_CONTROL).unwrap_or_default().split(',');
        let max_age = directives.filter_map(|one| one.trim().strip_prefix("max-age=")).find_map(number);
        let age = text(header::AGE).and_then(number).unwrap_or_default();
        let fresh = max_age.map_or(self.ages.refresh, |max_age| max_age.saturating_sub(age));
        fresh.clamp(FLOOR, self.ages.refresh.max(FLOOR))
    }

    fn too_old_at(&self, state: &State) -> Option<Duration> {
        let (_, fetched) = state.keys.as_ref()?;
        Some(fetched.saturating_add(self.ages.refresh.max(FLOOR)).saturating_add(self.ages.stale))
    }

    fn set_due(&self, state: &State) {
        let due = self.too_old_at(state).map_or(state.fresh_until, |old| old.min(state.fresh_until));
        self.due.store(millis(due), Ordering::Relaxed);
    }

    #[cold]
    fn is_due(self: &Arc<Self>, now: Duration) {
        let mut state = self.lock();
        let too_old = self.too_old_at(&state).is_some_and(|at| now >= at);
        if too_old {
            (state.keys, state.etag) = (None, None);
            state.change += 1;
        }
        let change = state.change;
        if now >= state.fresh_until {
            let _in_background = self.begin(now, &mut state);
            // The fetch sets the next time when it ends.
            state.fresh_until = state.fresh_until.max(now.saturating_add(FLOOR));
        }
        self.set_due(&state);
        drop(state);
        if too_old {
            self.put_in_force(&[], change);
            self.events.note(EventKind::KeysTooOld);
        }
    }
}

/// Waits until a fetch ends. Waits at most twice [`TIME`], because the runtime of the fetch may have stopped.
async fn ended(mut running: watch::Receiver<()>) {
    let _however = within(TIME + TIME, running.changed()).await;
}

/// The source of an engine's keys.
#[derive(Debug)]
pub(super) struct Source(pub(super) Arc<Jwks>);

impl KeySource for Source {
    fn refresh_if_due(&self, now: Duration) {
        if millis(now) >= self.0.due.load(Ordering::Relaxed) {
            self.0.is_due(now);
        }
    }

    fn find_unknown(&self, now: Duration) -> UnknownKey {
        let mut state = self.0.lock();
        match self.0.begin(now, &mut state) {
            Some(running) => {
                let wait: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(ended(running));
                UnknownKey::Wait(wait)
            }
            None if (state.keys.is_some() || state.pinned) && state.failures == 0 => UnknownKey::Refuse,
            None => UnknownKey::Unavailable,
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("uri", &self.uri).field("ages", &self.ages).finish_non_exhaustive()
    }
}
