//! Changes of a live session: its claims, or a re-authentication.

use std::sync::Arc;

use super::{CookieLine, Engine, SessionView, mint::TokenBasis};
use crate::{
    claims::Claims,
    event::EventKind,
    id::RunId,
    store::{FeedEvent, Reauthentication, SessionRecord, SharedSnapshot, StoreError},
    time::Timestamp,
    token::{MintError, StepUp},
};

/// Why a session was not changed. If the store failed, the change may have been made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The claims do not fit into a cookie, cannot be written as JSON, or cannot be read back from it.
    #[error(transparent)]
    Claims(#[from] MintError),
    /// The session is revoked or expired.
    #[error("the session is revoked or expired")]
    Ended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<C: Claims> Engine<C> {
    /// Replaces the claims of a session, on all instances. Returns an access cookie with the new claims.
    ///
    /// The token in the cookie has the generation that the request presented. A response must not set an access token
    /// of a newer generation without the refresh cookie of that newer generation. But it is not yet known whether the
    /// response sets that refresh cookie: this is decided when the response headers are sent.
    pub(crate) async fn update(
        &self,
        view: &SessionView<C>,
        presented: u64,
        claims: &C,
    ) -> Result<Vec<CookieLine>, ChangeError> {
        let (key, now) = (&view.key, self.now());
        let (json, claims) = self
            .writable_claims(key, claims, &view.methods, reauthentication_methods(view), now)
            .inspect_err(|error| self.report_unwritten(error, key))?;
        // The store writes this event together with the claims, so the event cannot be lost. But its time is before the
        // write, and a renewal may read the old record between this time and the write. So `mark_session_stale` below
        // adds a second mark, with a time after the write.
        let feed_event = FeedEvent::SessionStale(key.clone(), now);
        let replace = |record: &mut SessionRecord| record.replace_claims(&json, now);
        let snapshot = self.compare_and_set("put_claims", key, None, Some(feed_event), replace).await?;
        let mut record = changed_record(snapshot, view.run)?;
        // Mint this instance's JSON, not the JSON that the store returned: a store may format it in another way, and
        // the length of this instance's JSON was checked.
        record.claims = json;
        let now = self.mark_session_stale(view).await?;
        self.config.events.of(EventKind::ClaimsUpdated, &key.id, &key.subject.name);
        let basis = TokenBasis {
            generation: presented,
            step_up_without_methods: view.step_up_without_methods(),
            ..TokenBasis::of(&record, key, view.run, now)
        };
        let access = self.access_line(&self.tokens.codec(), &basis.without_proof(view), None, now)?;
        Ok([access].into_iter().chain(self.readable_line(&claims, &record, now)?).collect())
    }

    /// Records a re-authentication. Returns an access cookie that shows it.
    pub(crate) async fn reauthenticate(
        &self,
        view: &SessionView<C>,
        presented: u64,
        methods: Vec<String>,
        origin: Option<Arc<str>>,
    ) -> Result<Vec<CookieLine>, ChangeError> {
        let (key, now) = (&view.key, self.now());
        let all_methods = [&*view.methods, &*methods].concat();
        let (json, claims) = self
            .writable_claims(key, &view.claims, &all_methods, &methods, now)
            .inspect_err(|error| self.report_unwritten(error, key))?;
        let reauthentication = Reauthentication { at: now, methods, origin };
        let change = |record: &mut SessionRecord| record.record_reauthentication(&reauthentication);
        let snapshot = self.compare_and_set("record_reauthentication", key, None, None, change).await?;
        let mut record = changed_record(snapshot, view.run)?;
        // Mint the claims of this request, which fit into a cookie. The record may have older claims, because the
        // claims of the reload hook are not written to it.
        record.claims = json;
        let now = self.mark_session_stale(view).await?;
        self.config.events.of(EventKind::Reauthenticated, &key.id, &key.subject.name);
        let basis = TokenBasis { generation: presented, ..TokenBasis::of(&record, key, view.run, now) };
        let access = self.access_line(&self.tokens.codec(), &basis.without_proof(view), None, now)?;
        Ok([access].into_iter().chain(self.readable_line(&claims, &record, now)?).collect())
    }

    /// Marks the session's tokens as stale after a change, so that no in-flight response, on any instance, restores the
    /// old state. Returns the time of the mark. Tokens that were issued up to this time are stale, also the token that
    /// the caller mints with this time: the next request with it renews the session once more.
    async fn mark_session_stale(&self, view: &SessionView<C>) -> Result<Timestamp, StoreError> {
        self.revocation.mark_stale(|now| FeedEvent::SessionStale(view.key.clone(), now)).await
    }

    /// Marks the access tokens of a subject as stale: the next request with such a token gets the current claims,
    /// mostly by a renewal. A service token is refused.
    pub(crate) async fn mark_stale(&self, subject: &str) -> Result<(), StoreError> {
        let subject = self.subject(subject);
        self.revocation.mark_stale(|now| FeedEvent::SubjectStale(subject.clone(), now)).await?;
        self.config.events.of_subject(EventKind::MarkedStale, &subject.name);
        Ok(())
    }
}

/// The methods of the re-authentication.
fn reauthentication_methods<C>(view: &SessionView<C>) -> &[String] {
    match &view.step_up {
        StepUp::Done { amr, .. } => amr,
        StepUp::None | StepUp::Required => &[],
    }
}

/// The changed record. It is an error if the change was not applied, or if the store has another run ID than the
/// session.
fn changed_record(snapshot: SharedSnapshot, run: RunId) -> Result<SessionRecord, ChangeError> {
    match snapshot {
        SharedSnapshot { run: current, record: Some(record), applied: true, .. } if current == run => {
            Ok(Arc::unwrap_or_clone(record))
        }
        _ => Err(ChangeError::Ended),
    }
}
