//! The packed record of a session in the memory store. It is packed, because most records leave most of their fields
//! empty.

use std::{sync::Arc, time::Duration};

use super::timings::Timings;
use crate::{
    id::SessionId,
    protocol::{Family, RotationTiming},
    store::{Attached, NO_CLAIMS, Reauthentication, SessionRecord},
    time::{Timestamp, millis},
};

/// A packed record.
#[derive(Debug)]
pub(super) struct Entry {
    id: SessionId,
    generation: u64,
    /// Only valid if `confirmed` is set.
    confirmed_at: Timestamp,
    handed_out_at: Timestamp,
    created_at: Timestamp,
    /// In milliseconds, like the deadlines.
    idle_timeout: u64,
    idle_deadline: Timestamp,
    absolute_deadline: Timestamp,
    /// `None` if all fields of [`Rest`] are empty.
    rest: Option<Box<Rest>>,
    timing: Arc<RotationTiming>,
    /// How many times the record was written. The number wraps after 4 billion writes. No caller has a version that
    /// old.
    version: u32,
    confirmed: bool,
    revoked: bool,
    persistent: bool,
}

/// The fields that only some records have.
#[derive(Clone, Debug)]
struct Rest {
    claims: Arc<str>,
    stale_since: Option<Timestamp>,
    methods: Vec<String>,
    reauthentication: Option<Reauthentication>,
    origin: Option<Arc<str>>,
    attached: Attached,
}

impl Rest {
    fn is_empty(&self) -> bool {
        let Self { claims, stale_since, methods, reauthentication, origin, attached } = self;
        **claims == **NO_CLAIMS
            && stale_since.is_none()
            && methods.is_empty()
            && reauthentication.is_none()
            && origin.is_none()
            && attached.is_empty()
    }
}

impl Entry {
    pub(super) fn of(record: SessionRecord, timing: Arc<RotationTiming>) -> Self {
        let SessionRecord {
            id,
            family,
            claims,
            stale_since,
            methods,
            reauthentication,
            origin,
            persistent,
            attached,
        } = record;
        let rest = Rest { claims, stale_since, methods, reauthentication, origin, attached };
        Self {
            id,
            generation: family.generation,
            confirmed_at: family.confirmed_at.unwrap_or_default(),
            handed_out_at: family.handed_out_at,
            created_at: family.created_at,
            idle_timeout: millis(family.idle_timeout),
            idle_deadline: family.idle_deadline,
            absolute_deadline: family.absolute_deadline,
            rest: (!rest.is_empty()).then(|| Box::new(rest)),
            timing,
            version: 0,
            confirmed: family.confirmed_at.is_some(),
            revoked: family.revoked,
            persistent,
        }
    }

    /// Replaces the record by compare-and-set. Returns whether the replacement applied.
    pub(super) fn replace(&mut self, version: u64, record: &SessionRecord, timings: &Timings) -> bool {
        let applies = self.version() == version && !self.revoked;
        if applies {
            let timing = match *self.timing == record.family.timing {
                true => self.timing.clone(),
                false => timings.share(&record.family.timing),
            };
            let version = self.version.wrapping_add(1);
            *self = Self { version, ..Self::of(record.clone(), timing) };
        }
        applies
    }

    pub(super) fn version(&self) -> u64 {
        self.version.into()
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn family(&self) -> Family {
        Family {
            generation: self.generation,
            confirmed_at: self.confirmed.then_some(self.confirmed_at),
            handed_out_at: self.handed_out_at,
            created_at: self.created_at,
            idle_timeout: Duration::from_millis(self.idle_timeout),
            idle_deadline: self.idle_deadline,
            absolute_deadline: self.absolute_deadline,
            revoked: self.revoked,
            timing: *self.timing,
        }
    }

    pub(super) fn record(&self) -> SessionRecord {
        let (id, family, persistent) = (self.id, self.family(), self.persistent);
        let Some(rest) = self.rest.as_deref() else {
            return SessionRecord { persistent, ..SessionRecord::new(id, family) };
        };
        let Rest { claims, stale_since, methods, reauthentication, origin, attached } = rest.clone();
        SessionRecord {
            id,
            family,
            claims,
            stale_since,
            methods,
            reauthentication,
            origin,
            persistent,
            attached,
        }
    }

    pub(super) fn advance(&mut self, from: u64, at: Timestamp) -> bool {
        let mut family = self.family();
        let applied = family.advance(from, at);
        if applied {
            self.generation = family.generation;
            self.confirmed = false;
            self.handed_out_at = family.handed_out_at;
            self.idle_deadline = family.idle_deadline;
            self.version = self.version.wrapping_add(1);
        }
        applied
    }

    /// Revokes the session, and deletes the fields of [`Rest`]. Returns false if the session was already revoked.
    pub(super) fn revoke(&mut self) -> bool {
        let is_new = !std::mem::replace(&mut self.revoked, true);
        if is_new {
            self.version = self.version.wrapping_add(1);
            self.rest = None;
        }
        is_new
    }
}
