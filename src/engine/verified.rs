//! A verified access token: the data in it, newer data of its session, and whether its confirmation must be written.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Engine, bound::device_of, record::step_up_of};
use crate::{
    id::RunId,
    protocol::{AccessTokenTimes, LEEWAY},
    store::{SessionKey, SessionRecord, Subject},
    time::{Timestamp, millis},
    token::{AccessClaims, DeviceKey, StepUp},
};

/// The data of a session, from a token or from the record.
#[derive(Debug)]
pub(crate) struct SessionView<C> {
    pub(crate) key: SessionKey,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    pub(crate) issued: Timestamp,
    /// When the record of the session was read. That may be after the token was issued.
    pub(crate) read_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Timestamp,
    pub(crate) auth_time: Timestamp,
    pub(crate) step_up: StepUp,
    /// All methods, of the sign-in and of the re-authentication.
    pub(crate) methods: Vec<String>,
    /// The device key to which the session is bound, provisionally or for good.
    pub(crate) device: Option<DeviceKey>,
    pub(crate) claims: Arc<C>,
    /// The details of a service token: a token that was minted for another service. A service token may also name a
    /// session. `None` for an ordinary access token.
    #[cfg(feature = "verify")]
    pub(crate) service: Option<Arc<crate::token::ServiceDetails>>,
}

impl<C> SessionView<C> {
    /// The data of a record. `auth_time` and `step_up` are in whole seconds, as in the token that the next request will
    /// have.
    pub(super) fn of_record(
        key: SessionKey,
        record: &SessionRecord,
        run: RunId,
        issued: Timestamp,
        expires: Timestamp,
        claims: C,
    ) -> Self {
        Self {
            key,
            generation: record.family.generation,
            run,
            issued,
            read_at: issued,
            not_before: None,
            expires,
            auth_time: Timestamp::from_secs(record.family.created_at.as_secs()),
            step_up: step_up_of(record).in_whole_seconds(),
            methods: record.all_methods().map(str::to_owned).collect(),
            device: device_of(record),
            claims: Arc::new(claims),
            #[cfg(feature = "verify")]
            service: None,
        }
    }

    /// A copy with the data of a newer record, which was read at `read_at`.
    pub(super) fn updated(&self, record: &SessionRecord, claims: C, read_at: Timestamp) -> Self {
        Self {
            read_at,
            step_up: step_up_of(record).in_whole_seconds(),
            methods: record.all_methods().map(str::to_owned).collect(),
            device: device_of(record),
            claims: Arc::new(claims),
            ..self.copy()
        }
    }

    /// A copy that requires a re-authentication.
    pub(super) fn requiring_step_up(&self) -> Self {
        Self { methods: Vec::new(), step_up: StepUp::Required, ..self.copy() }
    }

    /// A clone. The claims are shared, so `C` need not be `Clone`.
    fn copy(&self) -> Self {
        Self {
            key: self.key.clone(),
            methods: self.methods.clone(),
            step_up: self.step_up.clone(),
            claims: self.claims.clone(),
            #[cfg(feature = "verify")]
            service: self.service.clone(),
            ..*self
        }
    }

    /// When the user last authenticated. `None` if a re-authentication is required.
    pub(crate) fn authenticated_at(&self) -> Option<Timestamp> {
        match &self.step_up {
            StepUp::None => Some(self.auth_time),
            StepUp::Done { at, .. } => Some(*at),
            StepUp::Required => None,
        }
    }

    /// Whether the session requires a re-authentication and shows no authentication methods. There are two causes:
    /// `compare_origin` required the re-authentication, or the record has no methods and the time of its last
    /// re-authentication is unknown.
    pub(super) fn step_up_without_methods(&self) -> bool {
        self.step_up == StepUp::Required && self.methods.is_empty()
    }

    /// Whether `read_at` is in the future, because the clock was ahead. Then a change of the claims after the read may
    /// have a time before `read_at`, and would be missed.
    pub(super) fn was_read_in_the_future(&self, now: Timestamp) -> bool {
        self.read_at > now + LEEWAY
    }

    pub(super) fn times(&self) -> AccessTokenTimes {
        AccessTokenTimes {
            session: self.key.id,
            issued: self.issued,
            not_before: self.not_before,
            expires: self.expires,
        }
    }
}

/// The latest time at which a token with this `iat` was issued: `iat` is rounded down to a second.
fn latest_issue_time(issued: Timestamp) -> Timestamp {
    issued + Duration::from_secs(1)
}

/// A verified access token, or the data for a new one after a renewal. All requests with the same token share it.
///
/// It holds the engine, so that a request need not clone the engine's `Arc`. With such clones, all cores would write
/// the same reference count. The engine holds its cache, which holds tokens. Dropping the last handle clears the cache
/// and so breaks this cycle.
pub(crate) struct VerifiedToken<C> {
    pub(crate) engine: Arc<Engine<C>>,
    /// The data in the token.
    pub(crate) view: SessionView<C>,
    /// The earliest time at which a request with this token confirms its generation.
    pub(super) confirms_from: Timestamp,
    /// Not used in a copy.
    learned: Learned<C>,
    /// The token that this one is a [copy](Self::copy) of. What is learned is noted there.
    original: Option<Arc<Self>>,
    /// The latest version of the denylist in which the session was found valid. 0 for none.
    valid_in: AtomicU64,
}

/// What was learned since a token was verified. A token and its copies share it.
struct Learned<C> {
    /// Newer data of the session, from its record.
    updated_view: Mutex<Option<Arc<SessionView<C>>>>,
    has_updated_view: AtomicBool,
    /// True if a request has begun the write for this token, or if no write is needed. The write is the confirmation of
    /// the token's generation. For a token of a bound session, which confirms nothing, it is the use of the session.
    nothing_to_write: AtomicBool,
    /// When the session was last known not to be revoked: the token was minted here, or the store was asked. By the
    /// monotonic clock, in milliseconds. 0 for never.
    not_revoked_at: AtomicU64,
}

impl<C> Learned<C> {
    fn new(nothing_to_write: bool) -> Self {
        Self {
            updated_view: Mutex::default(),
            has_updated_view: AtomicBool::new(false),
            nothing_to_write: AtomicBool::new(nothing_to_write),
            not_revoked_at: AtomicU64::new(0),
        }
    }
}

impl<C> VerifiedToken<C> {
    pub(super) fn new(engine: Arc<Engine<C>>, token: AccessClaims<C>) -> Self {
        let timing = engine.config.policy.rotation_timing();
        let confirms_from = match timing.confirms_at_once() {
            true => Timestamp::EPOCH,
            false => latest_issue_time(token.issued) + timing.confirmation_age(false),
        };
        let subject = Subject { realm: engine.config.realm.clone(), name: token.subject };
        let view = SessionView {
            key: SessionKey { subject, id: token.session },
            generation: token.generation,
            run: token.run,
            issued: token.issued,
            read_at: token.issued,
            not_before: token.not_before,
            expires: token.expires,
            auth_time: token.auth_time,
            step_up: token.step_up,
            methods: token.methods,
            device: token.device,
            claims: token.claims,
            #[cfg(feature = "verify")]
            service: token.service.map(Into::into),
        };
        Self { confirms_from, ..Self::from_view(engine, view, false) }
    }

    /// For a renewed session. The request that renewed it does not confirm the new generation.
    pub(super) fn renewed(engine: Arc<Engine<C>>, view: SessionView<C>) -> Self {
        Self::from_view(engine, view, true)
    }

    fn from_view(engine: Arc<Engine<C>>, view: SessionView<C>, nothing_to_write: bool) -> Self {
        Self {
            engine,
            view,
            confirms_from: Timestamp::EPOCH,
            learned: Learned::new(nothing_to_write),
            original: None,
            valid_in: AtomicU64::new(0),
        }
    }

    /// A copy for one thread. The reference counts of the copy and of the original are on different cache lines.
    pub(super) fn copy(self: &Arc<Self>) -> Self {
        Self {
            confirms_from: self.confirms_from,
            original: Some(self.original.as_ref().unwrap_or(self).clone()),
            ..Self::from_view(self.engine.clone(), self.view.copy(), false)
        }
    }

    fn learned(&self) -> &Learned<C> {
        self.original.as_ref().map_or(&self.learned, |original| &original.learned)
    }

    /// Whether the session was bound to a device when the token was issued. Then its renewal needs a proof of the
    /// device's key.
    pub(super) fn is_bound(&self) -> bool {
        self.view.device.as_ref().is_some_and(DeviceKey::is_confirmed)
    }

    /// The latest time at which the token was issued: `iat` is rounded down to a second.
    pub(super) fn latest_issue_time(&self) -> Timestamp {
        latest_issue_time(self.view.issued)
    }

    /// True if a request has begun the write for this token, or if no write is needed.
    pub(super) fn nothing_to_write(&self) -> bool {
        self.learned().nothing_to_write.load(Ordering::Relaxed)
    }

    /// Returns true for one of the requests with this token. That request writes.
    pub(super) fn begin_write(&self) -> bool {
        !self.learned().nothing_to_write.swap(true, Ordering::Relaxed)
    }

    /// Notes that the write failed. A later request writes.
    pub(super) fn retry_write(&self) {
        self.learned().nothing_to_write.store(false, Ordering::Relaxed);
    }

    /// Newer data of the session than the token's. `None` if there is none.
    pub(super) fn updated_view(&self) -> Option<Arc<SessionView<C>>> {
        if !self.learned().has_updated_view.load(Ordering::Acquire) {
            return None;
        }
        self.learned().updated_view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_updated_view(&self, view: Arc<SessionView<C>>) {
        *self.learned().updated_view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
        self.learned().has_updated_view.store(true, Ordering::Release);
    }

    /// Whether the session was found valid in this version of the denylist.
    pub(super) fn was_valid_in(&self, version: u64) -> bool {
        self.valid_in.load(Ordering::Relaxed) == version
    }

    pub(super) fn note_valid_in(&self, version: u64) {
        self.valid_in.store(version, Ordering::Relaxed);
    }

    /// Notes that the session was not revoked at `now`, by the monotonic clock.
    pub(super) fn note_not_revoked(&self, now: Duration) {
        self.learned().not_revoked_at.store(millis(now).max(1), Ordering::Relaxed);
    }

    /// The time that was last passed to [`note_not_revoked`](Self::note_not_revoked).
    pub(super) fn not_revoked_at(&self) -> Option<Duration> {
        Some(self.learned().not_revoked_at.load(Ordering::Relaxed))
            .filter(|at| *at > 0)
            .map(Duration::from_millis)
    }
}

impl<C> fmt::Debug for VerifiedToken<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken").field("session", &self.view.key.id).finish_non_exhaustive()
    }
}

/// The session of one request: its token, and newer data of the session, if there is any.
#[derive(Debug)]
pub(crate) struct AuthenticatedSession<C> {
    pub(crate) token: Arc<VerifiedToken<C>>,
    pub(crate) updated_view: Option<Arc<SessionView<C>>>,
}

impl<C> AuthenticatedSession<C> {
    pub(crate) fn view(&self) -> &SessionView<C> {
        self.updated_view.as_deref().unwrap_or(&self.token.view)
    }
}

impl<C> From<Arc<VerifiedToken<C>>> for AuthenticatedSession<C> {
    fn from(token: Arc<VerifiedToken<C>>) -> Self {
        Self { token, updated_view: None }
    }
}

impl<C> Clone for AuthenticatedSession<C> {
    fn clone(&self) -> Self {
        Self { token: self.token.clone(), updated_view: self.updated_view.clone() }
    }
}
