//! Renewals for passive requests, which do not count as use of the session.

use std::sync::Arc;

use super::{Engine, renew::RenewalRequest};
use crate::{
    claims::Claims,
    event::Renewed,
    protocol::{RefreshDecision, decide_refresh},
    revocation::SessionError,
    store::SessionRecord,
    time::Timestamp,
};

impl<C: Claims> Engine<C> {
    /// Renews for a passive request: does not rotate, confirms nothing, and does not move the idle deadline.
    ///
    /// A session is revoked if it has passed this instance's timeouts, but not yet those of its record. Refresh token
    /// reuse is handled as for an active request: see [`revoke_reused`](Self::revoke_reused).
    pub(super) async fn renew_passive(
        &self,
        request: &RenewalRequest,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), SessionError> {
        let &RenewalRequest { ref key, run, presented, proven, ref client_origin, .. } = request;
        let record = self.read(key, run).await?;
        if record.family.is_live(now) && !self.is_live_by_policy(&record.family, now) {
            return Err(self.revoke_past_timeouts(key, now).await);
        }
        self.check_device(key, &record, proven, now)?;
        match decide_refresh(presented, &record.family, now) {
            RefreshDecision::Reuse => Err(self
                .revoke_reused(key, &record, presented.generation, client_origin.as_deref(), now)
                .await),
            RefreshDecision::Refuse(refusal) => Err(self.refused_by_record(key, refusal)),
            RefreshDecision::Confirm
            | RefreshDecision::Reissue
            | RefreshDecision::Rotate
            | RefreshDecision::ServePredecessor
            | RefreshDecision::FastForward => Ok((record, Renewed::Reissued)),
        }
    }
}
