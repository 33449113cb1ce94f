//! One part of the memory store.

use std::{collections::HashMap, time::Duration};

use crate::{
    id::SessionId,
    store::{SessionKey, SessionRecord, Subject},
    time::Timestamp,
};

/// How long expired sessions may wait to be swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Each subject's sessions, sorted by id.
#[derive(Debug, Default)]
pub(super) struct Shard {
    subjects: HashMap<Subject, Vec<SessionRecord>>,
    swept: Timestamp,
}

impl Shard {
    fn of(&self, subject: &Subject) -> &[SessionRecord] {
        self.subjects.get(subject).map_or(&[], Vec::as_slice)
    }

    pub(super) fn contains(&self, subject: &Subject, id: &SessionId) -> bool {
        self.of(subject).binary_search_by_key(id, |record| record.id).is_ok()
    }

    pub(super) fn get_mut(&mut self, key: &SessionKey) -> Option<&mut SessionRecord> {
        let records = self.subjects.get_mut(&key.subject)?;
        let index = records.binary_search_by_key(&key.id, |record| record.id).ok()?;
        records.get_mut(index)
    }

    /// The live sessions of a subject, oldest first.
    pub(super) fn live(&self, subject: &Subject, now: Timestamp) -> Vec<&SessionRecord> {
        let mut live: Vec<_> = self.of(subject).iter().filter(|record| record.family.is_live(now)).collect();
        live.sort_by_key(|record| record.family.created_at);
        live
    }

    /// Adds a session whose id is new.
    pub(super) fn insert(&mut self, subject: &Subject, record: SessionRecord) {
        let records = self.subjects.entry(subject.clone()).or_default();
        let index = records.partition_point(|other| other.id < record.id);
        records.reserve_exact(1);
        records.insert(index, record);
    }

    /// Ends the sessions of a subject that `matches` names. Answers with those it ended.
    pub(super) fn revoke(
        &mut self,
        subject: &Subject,
        matches: impl Fn(&SessionRecord) -> bool,
    ) -> Vec<SessionId> {
        let Some(records) = self.subjects.get_mut(subject) else { return Vec::new() };
        let mut ended = Vec::new();
        for record in records.iter_mut().filter(|record| matches(record)) {
            if record.family.revoke() {
                // The denylist needs the id and the limit only.
                record.claims = "null".into();
                record.origin = None;
                ended.push(record.id);
            }
        }
        ended
    }

    /// Forgets what has expired, if that was not done lately. Answers with how many.
    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
        // A clock that was set back must not stop the sweeping.
        if now.since(self.swept) < SWEEP_EVERY && self.swept <= now {
            return 0;
        }
        self.swept = now;
        let mut swept = 0;
        self.subjects.retain(|_, records| {
            let before = records.len();
            records.retain(|record| {
                let family = &record.family;
                // An ended session is remembered until its refresh token would have expired.
                now < family.absolute_deadline && (family.revoked || now < family.idle_deadline)
            });
            swept += before - records.len();
            !records.is_empty()
        });
        swept
    }

    /// Forgets everything. Answers with how much that was.
    pub(super) fn clear(&mut self) -> usize {
        let gone = self.subjects.values().map(Vec::len).sum();
        self.subjects.clear();
        gone
    }
}
