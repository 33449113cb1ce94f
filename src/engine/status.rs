//! What this instance knows of a session without asking the store.

use std::time::Duration;

use super::{Engine, Renewal, SessionView, VerifiedToken};
use crate::{
    claims::Claims,
    protocol::SessionStatus,
    time::{Reading, Timestamp},
};

impl<C: Claims> Engine<C> {
    /// The status of the session of an access token.
    pub(super) fn status(&self, token: &VerifiedToken<C>) -> SessionStatus {
        let changes = self.revocation.denylist.changes();
        if token.was_valid_at(changes) {
            return SessionStatus::Valid;
        }
        let status = self.status_of(&token.view);
        if status == SessionStatus::Valid {
            token.note_valid_at(changes);
        }
        status
    }

    /// The status of a session now. Its claims are stale if they changed after `view.read_at`.
    pub(crate) fn status_of(&self, view: &SessionView<C>) -> SessionStatus {
        let (key, run) = (&view.key, view.run);
        #[cfg(feature = "verify")]
        let run = if view.service.as_ref().is_some_and(|service| !service.has_session) {
            self.revocation.denylist.run_id_to_judge_by(run)
        } else {
            run
        };
        self.revocation.denylist.status(run, &key.id, &key.subject.name, view.read_at)
    }

    /// The status of a renewed session. Counts what this instance learned since the record was read.
    pub(super) fn status_since_read(&self, renewal: &Renewal<C>) -> SessionStatus {
        let SessionView { key, run, .. } = renewal.session.view();
        self.revocation.denylist.status_since(*run, &key.id, &key.subject.name, renewal.read_at)
    }

    /// Whether the denylist may have forgotten that the session of a token was revoked.
    pub(super) fn revocation_may_be_forgotten(&self, token: &VerifiedToken<C>, now: Reading) -> bool {
        self.revocation.is_doubtful(token.view.issued, token.not_revoked_at(), now)
    }

    /// Whether an expired access token may be used during an outage of the store: see `ride_through`. A token of a bound
    /// session may not.
    pub(super) fn may_ride_through(
        &self,
        token: &VerifiedToken<C>,
        known_status: Option<SessionStatus>,
        now: Timestamp,
    ) -> bool {
        let time = self.config.ride_through;
        time > Duration::ZERO
            && token.view.device.is_none()
            && known_status == Some(SessionStatus::Valid)
            && token.view.issued <= now
            && now < token.view.expires + time
    }
}
