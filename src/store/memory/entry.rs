//! One session as the memory store keeps it: packed, since most records leave most of their members
//! empty.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    id::SessionId,
    protocol::Family,
    store::{Proof, SessionRecord},
    time::{Timestamp, millis},
};

/// What most records have for claims, once for all of them.
static NO_CLAIMS: LazyLock<Arc<str>> = LazyLock::new(|| "null".into());

/// A packed record.
#[derive(Debug)]
pub(super) struct Entry {
    id: SessionId,
    generation: u64,
    /// Of no meaning unless `confirmed`.
    confirmed_at: Timestamp,
    created_at: Timestamp,
    /// In milliseconds, as the deadlines are.
    idle_timeout: u64,
    idle_deadline: Timestamp,
    absolute_deadline: Timestamp,
    /// None while there is nothing in it.
    rest: Option<Box<Rest>>,
    confirmed: bool,
    revoked: bool,
    persistent: bool,
}

/// What only some records have.
#[derive(Debug)]
struct Rest {
    claims: Arc<str>,
    stale_since: Option<Timestamp>,
    methods: Vec<String>,
    proof: Option<Proof>,
    origin: Option<Arc<str>>,
}

impl Rest {
    fn is_empty(&self) -> bool {
        let Self { claims, stale_since, methods, proof, origin } = self;
        **claims == **NO_CLAIMS
            && stale_since.is_none()
            && methods.is_empty()
            && proof.is_none()
            && origin.is_none()
    }
}

impl Entry {
    pub(super) fn of(record: SessionRecord) -> Self {
        let SessionRecord { id, family, claims, stale_since, methods, proof, origin, persistent } = record;
        let rest = Rest { claims, stale_since, methods, proof, origin };
        Self {
            id,
            generation: family.generation,
            confirmed_at: family.confirmed_at.unwrap_or_default(),
            created_at: family.created_at,
            idle_timeout: millis(family.idle_timeout),
            idle_deadline: family.idle_deadline,
            absolute_deadline: family.absolute_deadline,
            rest: (!rest.is_empty()).then(|| Box::new(rest)),
            confirmed: family.confirmed_at.is_some(),
            revoked: family.revoked,
            persistent,
        }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn family(&self) -> Family {
        Family {
            generation: self.generation,
            confirmed_at: self.confirmed.then_some(self.confirmed_at),
            created_at: self.created_at,
            idle_timeout: Duration::from_millis(self.idle_timeout),
            idle_deadline: self.idle_deadline,
            absolute_deadline: self.absolute_deadline,
            revoked: self.revoked,
        }
    }

    pub(super) fn record(&self) -> SessionRecord {
        let (id, family, persistent) = (self.id, self.family(), self.persistent);
        match &self.rest {
            Some(rest) => {
                let Rest { claims, stale_since, methods, proof, origin } = &**rest;
                SessionRecord {
                    id,
                    family,
                    claims: claims.clone(),
                    stale_since: *stale_since,
                    methods: methods.clone(),
                    proof: proof.clone(),
                    origin: origin.clone(),
                    persistent,
                }
            }
            None => SessionRecord {
                id,
                family,
                claims: NO_CLAIMS.clone(),
                stale_since: None,
                methods: Vec::new(),
                proof: None,
                origin: None,
                persistent,
            },
        }
    }

    /// Applies an operation of the [`Family`].
    pub(super) fn change(&mut self, operation: impl FnOnce(&mut Family) -> bool) -> bool {
        let mut family = self.family();
        let applied = operation(&mut family);
        if applied {
            self.set_family(&family);
        }
        applied
    }

    pub(super) fn prove(&mut self, proof: &Proof) {
        self.rest().proof = Some(proof.clone());
    }

    pub(super) fn replace_claims(&mut self, claims: &str, at: Timestamp) {
        let rest = self.rest();
        rest.claims = claims.into();
        rest.stale_since = rest.stale_since.max(Some(at));
    }

    /// Forgets what an ended session is not remembered with.
    pub(super) fn strip(&mut self) {
        self.rest = self.rest.take().and_then(|mut rest| {
            (rest.claims, rest.origin) = (NO_CLAIMS.clone(), None);
            (!rest.is_empty()).then_some(rest)
        });
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_with(|| {
            let claims = NO_CLAIMS.clone();
            Box::new(Rest { claims, stale_since: None, methods: Vec::new(), proof: None, origin: None })
        })
    }

    fn set_family(&mut self, family: &Family) {
        self.generation = family.generation;
        self.confirmed_at = family.confirmed_at.unwrap_or_default();
        self.confirmed = family.confirmed_at.is_some();
        self.created_at = family.created_at;
        self.idle_timeout = millis(family.idle_timeout);
        self.idle_deadline = family.idle_deadline;
        self.absolute_deadline = family.absolute_deadline;
        self.revoked = family.revoked;
    }
}
