//! A session as a good token, or its record, shows it; and seeing its generation in use.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use quick_cache::sync::Cache;

use super::Engine;
use crate::{
    claims::Claims,
    id::{RunId, SessionId},
    protocol::Access,
    store::{SessionKey, SessionRecord, Subject},
    time::Timestamp,
    token::AccessClaims,
};

/// How many sessions' last seen generations are remembered. Forgetting one costs a store call.
const SEEN: usize = 16 * 1024;

/// A session, as one token shows it. Shared by all requests that carry that token.
#[derive(Debug)]
pub(crate) struct Active<C> {
    pub(crate) key: SessionKey,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    pub(crate) issued: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Timestamp,
    pub(crate) auth_time: Timestamp,
    pub(crate) proof_at: Option<Timestamp>,
    pub(crate) methods: Vec<String>,
    pub(crate) claims: C,
    /// This token was seen, so its generation is confirmed.
    seen: AtomicBool,
}

impl<C> Active<C> {
    pub(super) fn of_token(realm: &Arc<str>, token: AccessClaims<C>) -> Self {
        let subject = Subject { realm: realm.clone(), name: token.subject.into() };
        Self {
            key: SessionKey { subject, id: token.session },
            generation: token.generation,
            run: token.run,
            issued: token.issued,
            not_before: token.not_before,
            expires: token.expires,
            auth_time: token.auth_time,
            proof_at: token.proof_at,
            methods: token.methods,
            claims: token.claims,
            seen: AtomicBool::new(false),
        }
    }

    pub(super) fn of_record(
        key: SessionKey,
        record: &SessionRecord,
        run: RunId,
        issued: Timestamp,
        expires: Timestamp,
        claims: C,
    ) -> Self {
        let proof = record.proof.as_ref();
        Self {
            key,
            generation: record.family.generation,
            run,
            issued,
            not_before: None,
            expires,
            auth_time: record.family.created_at,
            proof_at: proof.map(|proof| proof.at),
            methods: record.all_methods().map(str::to_owned).collect(),
            claims,
            seen: AtomicBool::new(true),
        }
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
    /// Confirmation by use: a request carries generation `g > 0` in its cookie for the first time
    /// here. Off the request's path, and once: a lost one only costs later detection of a theft.
    pub(super) fn confirm_once(self: &Arc<Self>, active: &Arc<Active<C>>, now: Timestamp) {
        if active.generation == 0
            || active.seen.load(Ordering::Relaxed)
            || active.seen.swap(true, Ordering::Relaxed)
        {
            return;
        }
        if !self.seen.first(active.key.id, active.generation) {
            return;
        }
        let (engine, active) = (self.clone(), active.clone());
        self.background.write(async move {
            let confirm = engine.store.confirm(&active.key, active.generation, now);
            if engine.ask("confirm", confirm).await.is_err() {
                engine.seen.forget(&active.key.id);
                active.seen.store(false, Ordering::Relaxed);
            }
        });
    }
}
