//! A session as a good token, or its record, shows it; and seeing its generation in use.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::{Engine, background::Write};
use crate::{
    claims::Claims,
    id::{RunId, SessionId},
    protocol::Access,
    store::{SessionKey, SessionRecord, Subject},
    time::{Timestamp, millis},
    token::AccessClaims,
};

/// How many sessions' last seen generations are remembered. Forgetting one costs a store call.
const SEEN: usize = 16 * 1024;

/// The time of a proof that does not count: the application asked for another, from where the token
/// was minted for.
pub(super) const VOID: Timestamp = Timestamp::EPOCH;

/// A time as a token tells it: in whole seconds. A request that was renewed sees what the next one
/// will see.
const fn as_in_token(time: Timestamp) -> Timestamp {
    Timestamp::from_secs(time.as_secs())
}

/// When a token was issued that says so, at the latest: it tells whole seconds.
fn issued_by(issued: Timestamp) -> Timestamp {
    issued + Duration::from_secs(1)
}

/// A session, as one token shows it. Shared by all requests that carry that token.
#[derive(Debug)]
pub(crate) struct Active<C> {
    pub(crate) key: SessionKey,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    pub(crate) issued: Timestamp,
    /// As of when what it says is true: since it was issued, if it was not looked up later.
    pub(super) as_of: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Timestamp,
    pub(crate) auth_time: Timestamp,
    pub(crate) proof_at: Option<Timestamp>,
    pub(crate) methods: Vec<String>,
    /// Those of the later proof, if there is one.
    pub(crate) proof_methods: Vec<String>,
    pub(crate) claims: Arc<C>,
    /// Where its session can be changed and ended. Not counted, or all cores would fight over the count.
    engine: Weak<Engine<C>>,
    /// From when on a request with it confirms its generation.
    confirms_from: Timestamp,
    /// It has, so its generation is confirmed.
    seen: AtomicBool,
    /// When its session was last known not to be revoked by more than the denylist: the token was
    /// minted here, or the store was asked. By the monotonic clock in milliseconds; 0 for never.
    vouched_at: AtomicU64,
    /// What the store said of its session later.
    newer: Mutex<Option<Arc<Self>>>,
}

impl<C> Active<C> {
    pub(super) fn of_token(engine: &Engine<C>, token: AccessClaims<C>) -> Self {
        let subject = Subject { realm: engine.config.realm.clone(), name: token.subject };
        let timing = engine.config.policy.rotation_timing();
        let settled = issued_by(token.issued) + timing.settled_after(false);
        Self {
            confirms_from: if timing.confirms_at_once() { Timestamp::EPOCH } else { settled },
            key: SessionKey { subject, id: token.session },
            generation: token.generation,
            run: token.run,
            issued: token.issued,
            as_of: token.issued,
            not_before: token.not_before,
            expires: token.expires,
            auth_time: token.auth_time,
            proof_at: token.proof_at,
            methods: token.methods,
            proof_methods: token.proof_methods,
            claims: token.claims,
            engine: engine.me.clone(),
            seen: AtomicBool::new(false),
            vouched_at: AtomicU64::new(0),
            newer: Mutex::default(),
        }
    }

    pub(super) fn of_record(
        engine: &Engine<C>,
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
            as_of: issued,
            not_before: None,
            expires,
            auth_time: as_in_token(record.family.created_at),
            proof_at: record.reauthenticated_at().map(as_in_token),
            methods: record.all_methods().map(str::to_owned).collect(),
            proof_methods: record.reauthentication_methods().to_vec(),
            claims: Arc::new(claims),
            engine: engine.me.clone(),
            confirms_from: Timestamp::EPOCH,
            seen: AtomicBool::new(true),
            vouched_at: AtomicU64::new(0),
            newer: Mutex::default(),
        }
    }

    /// The same, but whatever proof of sign-in there is does not count.
    pub(super) fn without_proof(&self) -> Self {
        Self {
            key: self.key.clone(),
            methods: Vec::new(),
            proof_methods: Vec::new(),
            claims: self.claims.clone(),
            proof_at: Some(VOID),
            engine: self.engine.clone(),
            seen: AtomicBool::new(self.seen.load(Ordering::Relaxed)),
            vouched_at: AtomicU64::new(self.vouched_at.load(Ordering::Relaxed)),
            newer: Mutex::default(),
            ..*self
        }
    }

    /// The same token's session, as its record had it at `read_at`.
    pub(super) fn with(&self, record: &SessionRecord, claims: C, read_at: Timestamp) -> Self {
        Self {
            key: self.key.clone(),
            as_of: read_at,
            proof_at: record.reauthenticated_at().map(as_in_token),
            methods: record.all_methods().map(str::to_owned).collect(),
            proof_methods: record.reauthentication_methods().to_vec(),
            claims: Arc::new(claims),
            engine: self.engine.clone(),
            seen: AtomicBool::new(self.seen.load(Ordering::Relaxed)),
            vouched_at: AtomicU64::new(self.vouched_at.load(Ordering::Relaxed)),
            newer: Mutex::default(),
            ..*self
        }
    }

    /// What is known of the token's session: as the token says, or as was found later.
    pub(super) fn newest(self: &Arc<Self>) -> Arc<Self> {
        let newer = self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        newer.as_ref().unwrap_or(self).clone()
    }

    pub(super) fn set_newer(&self, newer: Arc<Self>) {
        *self.newer.lock().unwrap_or_else(PoisonError::into_inner) = Some(newer);
    }

    /// The session was not revoked at `now`, by the monotonic clock.
    pub(super) fn vouch(&self, now: Duration) {
        self.vouched_at.store(millis(now).max(1), Ordering::Relaxed);
    }

    /// When [`vouch`](Self::vouch) was last called; none for never.
    pub(super) fn vouched_at(&self) -> Option<Duration> {
        Some(self.vouched_at.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Duration::from_millis)
    }

    /// None when the sessions and every layer of theirs are gone.
    pub(crate) fn engine(&self) -> Option<Arc<Engine<C>>> {
        self.engine.upgrade()
    }

    /// When the subject last proved who they are; none if that does not count where they are.
    pub(crate) fn authenticated_at(&self) -> Option<Timestamp> {
        match self.proof_at {
            Some(VOID) => None,
            // A later proof is later, also where the clock of the sign-in was ahead.
            later => Some(later.unwrap_or(self.auth_time)),
        }
    }

    /// When the proof was made that a new token for the same request shows.
    pub(super) fn proof_of(&self, record: &SessionRecord) -> Option<Timestamp> {
        if self.authenticated_at().is_none() { self.proof_at } else { record.reauthenticated_at() }
    }

    pub(super) fn facts(&self) -> Access {
        Access {
            session: self.key.id,
            issued: self.issued,
            not_before: self.not_before,
            expires: self.expires,
        }
    }
}

/// The last generation of each session that was seen in use here.
#[derive(Debug)]
pub(super) struct Seen(Cache<SessionId, u64>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(Cache::new(SEEN))
    }

    /// Whether this is the first sight of `generation`.
    pub(super) fn first(&self, session: SessionId, generation: u64) -> bool {
        let first = self.0.get(&session).is_none_or(|seen| seen < generation);
        if first {
            self.0.insert(session, generation);
        }
        first
    }

    pub(super) fn forget(&self, session: &SessionId) {
        self.0.remove(session);
    }
}

impl<C: Claims> Engine<C> {
    /// Confirmation by use: a request carries an access token of generation `g > 0` that was issued so
    /// long ago that its client cannot come back with an older generation. Off the request's path, and
    /// once: a lost confirmation only costs later detection of reuse.
    ///
    /// When it was long enough ago, this instance judges by its own durations first, to ask the store for
    /// nothing. The record's durations have the last word.
    pub(super) fn confirm_once(
        self: &Arc<Self>,
        active: &Arc<Active<C>>,
        with_body: impl FnOnce() -> bool,
        now: Timestamp,
    ) {
        if active.generation == 0 || now < active.confirms_from || active.seen.load(Ordering::Relaxed) {
            return;
        }
        let with_body = with_body();
        let (timing, issued) = (self.config.policy.rotation_timing(), issued_by(active.issued));
        if !timing.confirms_by_access(issued, with_body, now) || active.seen.swap(true, Ordering::Relaxed) {
            return;
        }
        if !self.seen.first(active.key.id, active.generation) {
            return;
        }
        let (engine, active) = (self.clone(), active.clone());
        let what = (active.key.id, Write::Confirm(active.generation));
        self.background.write(what, async move {
            let confirm = |record: &mut SessionRecord| {
                let family = &mut record.family;
                family.timing.confirms_by_access(issued, with_body, now)
                    && family.confirm(active.generation, now)
            };
            match engine.write("confirm", &active.key, None, None, confirm).await {
                Ok(written) => {
                    let family = written.record.map(|record| record.family);
                    // By the record's durations it was too early. A later token may do.
                    if family
                        .is_some_and(|it| it.generation == active.generation && it.confirmed_at.is_none())
                    {
                        engine.seen.forget(&active.key.id);
                    }
                }
                Err(_) => {
                    engine.seen.forget(&active.key.id);
                    active.seen.store(false, Ordering::Relaxed);
                }
            }
        });
    }
}
