//! Changing a live session: its claims, a proof of sign-in, or only its tokens.

use std::sync::Arc;

use super::{Active, CookieLine, Engine, issue::Basis};
use crate::{
    claims::Claims,
    event::EventKind,
    id::RunId,
    store::{FeedEvent, Reauthentication, SessionRecord, Snapshot, StaleScope, StoreError},
    time::Timestamp,
    token::MintError,
};

/// Why a session was not changed. It is as it was, unless the store failed: then nobody knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The claims do not fit into a cookie, cannot be written as JSON, or cannot be read back from it.
    #[error(transparent)]
    Claims(#[from] MintError),
    /// The session has ended meanwhile.
    #[error("the session has ended")]
    Ended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<C: Claims> Engine<C> {
    /// Replaces the claims of a session. The next tokens are minted from them, everywhere, and the
    /// answer is an access cookie that has them at once.
    ///
    /// It carries the generation that the request presented: whether the refresh cookie of a newer
    /// one leaves with it is only settled with the head of the response.
    pub(crate) async fn update(
        &self,
        active: &Active<C>,
        presented: u64,
        claims: &C,
    ) -> Result<Vec<CookieLine>, ChangeError> {
        let (key, now) = (&active.key, self.now());
        let (json, claims) = self
            .writable_claims(key, claims, &active.methods, &active.proof_methods, now)
            .inspect_err(|error| self.report_unwritten(error, key))?;
        let event = FeedEvent::SessionStale(key.clone(), now);
        let replace = |record: &mut SessionRecord| record.replace_claims(&json, now);
        let snapshot = self.write("put_claims", key, None, Some(event), replace).await?;
        let mut record = changed(snapshot, active.run)?;
        // What was written, and not what a store may make of it: a token says it as it stands.
        record.claims = json;
        let now = self.session_is_stale(active).await?;
        self.config.events.of(EventKind::ClaimsUpdated, &key.id, &key.subject.name);
        let proof_at = active.proof_of(&record);
        let basis = Basis { generation: presented, proof_at, ..Basis::begun(&record, key, active.run, now) };
        let access = self.access_line(&basis, None, now)?;
        Ok([access].into_iter().chain(self.readable_line(&claims, &record, now)?).collect())
    }

    /// Records a proof of sign-in, and answers with an access cookie that shows it.
    pub(crate) async fn reauthenticate(
        &self,
        active: &Active<C>,
        presented: u64,
        methods: Vec<String>,
        origin: Option<Arc<str>>,
    ) -> Result<Vec<CookieLine>, ChangeError> {
        let (key, now) = (&active.key, self.now());
        let all_methods = [&*active.methods, &*methods].concat();
        let (json, claims) = self
            .writable_claims(key, &active.claims, &all_methods, &methods, now)
            .inspect_err(|error| self.report_unwritten(error, key))?;
        let proof = Reauthentication { at: now, methods, origin };
        let record = |record: &mut SessionRecord| record.record_reauthentication(&proof);
        let snapshot = self.write("record_reauthentication", key, None, None, record).await?;
        let mut record = changed(snapshot, active.run)?;
        // Those of this request, which were measured. The record may have others, and not those that
        // the application put in their place; a token of this second is renewed at its next use.
        record.claims = json;
        let now = self.session_is_stale(active).await?;
        self.config.events.of(EventKind::Proved, &key.id, &key.subject.name);
        let basis = Basis { generation: presented, ..Basis::begun(&record, key, active.run, now) };
        let access = self.access_line(&basis, None, now)?;
        Ok([access].into_iter().chain(self.readable_line(&claims, &record, now)?).collect())
    }

    /// After a change: no response on its way, here or elsewhere, restores what was before. Answers
    /// with the time of the mark.
    ///
    /// It is a time after the write, for a renewal may have read the record between the time that the
    /// write was given and its taking effect.
    async fn session_is_stale(&self, active: &Active<C>) -> Result<Timestamp, StoreError> {
        let (key, now) = (&active.key, self.now());
        let scope = StaleScope::Session(key.clone());
        self.ask("mark_stale", self.store.mark_stale(&scope, now)).await?;
        // Here at once; elsewhere, the feed brings it.
        self.revocations.session_stale(key, now, self.monotonic());
        Ok(now)
    }

    /// Has every access token of a subject brought up to date at its next use.
    pub(crate) async fn mark_stale(&self, subject: &str) -> Result<(), StoreError> {
        let (subject, now) = (self.subject(subject), self.now());
        let scope = StaleScope::Subject(subject.clone());
        self.ask("mark_stale", self.store.mark_stale(&scope, now)).await?;
        self.revocations.subject_stale(subject.name.clone(), now, self.monotonic());
        self.config.events.of_subject(EventKind::MarkedStale, &subject.name);
        Ok(())
    }
}

/// The record of a session that was changed.
fn changed(snapshot: Snapshot, run: RunId) -> Result<SessionRecord, ChangeError> {
    match snapshot {
        Snapshot { run: current, record: Some(record), applied: true, .. } if current == run => Ok(record),
        _ => Err(ChangeError::Ended),
    }
}
