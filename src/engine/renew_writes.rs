//! What a renewal writes besides a rotation: confirmations, repairs of the record, and the revocation of a session
//! whose superseded refresh token was presented (refresh token reuse).

use std::sync::Arc;

use super::{
    Engine,
    record::{ReadRecord, record_if_run_id_matches},
};
use crate::{
    backend::Write,
    claims::Claims,
    event::{EventKind, Renewed, Reuse},
    id::RunId,
    origin::OriginVerdict,
    protocol::{PresentedToken, Refusal},
    revocation::SessionError,
    store::{Revoke, SessionKey, SessionRecord},
    time::Timestamp,
};

impl<C: Claims> Engine<C> {
    /// Writes, in the background, what a renewal without a rotation changed: a confirmation by its refresh token, or
    /// the idle deadline. If the write of the idle deadline fails, the next renewal writes it.
    pub(super) fn write_confirmation_or_use(
        self: &Arc<Self>,
        key: &SessionKey,
        read: &ReadRecord,
        how: Renewed,
        now: Timestamp,
    ) {
        let family = &read.record.family;
        let confirm = how == Renewed::Confirmed;
        let touch = family.touch_is_due(now, family.timing.rotation_interval);
        if !confirm && !touch {
            return;
        }
        let (engine, key, generation) = (self.clone(), key.clone(), family.generation);
        if confirm {
            // The new access token need not write the confirmation again.
            self.backend.confirmed.note_if_higher(key.id, generation);
        }
        let (write, operation) = match confirm {
            true => (Write::Confirm(generation), "confirm"),
            false => (Write::Touch, "touch"),
        };
        let read = read.clone();
        self.backend.write_behind(key.id, write, async move {
            // A confirmation moves the idle deadline, too. So one change is enough.
            let change = |record: &mut SessionRecord| match confirm {
                true => record.family.confirm(generation, now),
                false => record.family.touch(now),
            };
            let written = engine.compare_and_set(operation, &key, Some(read.into()), None, change).await;
            if confirm && written.is_err() {
                engine.backend.confirmed.forget(&key.id);
            }
        });
    }

    /// Corrects the times of a record that an instance with a fast clock wrote.
    pub(super) async fn correct_times(
        &self,
        key: &SessionKey,
        read: ReadRecord,
        now: Timestamp,
    ) -> Result<ReadRecord, SessionError> {
        let (run, longest) = (read.run, self.config.policy.timing().absolute_timeout);
        let correct = |record: &mut SessionRecord| record.cap_future_times(now, longest);
        let corrected = self.compare_and_set("correct_times", key, Some(read.into()), None, correct).await?;
        let read = ReadRecord::of(corrected, run)?;
        // The confirmation may have been removed, so the generation may have to be confirmed again.
        self.backend.confirmed.forget(&key.id);
        Ok(read)
    }

    /// Writes that the current generation is handed out again to a client that presented its predecessor. This is
    /// written before the response is sent, because the waiting time until a confirmation by refresh token counts from
    /// this hand-out.
    pub(super) async fn record_handout(
        &self,
        key: &SessionKey,
        read: ReadRecord,
        now: Timestamp,
    ) -> Result<ReadRecord, SessionError> {
        let run = read.run;
        let handout = |record: &mut SessionRecord| record.family.record_handout(now);
        let snapshot = self.compare_and_set("record_handout", key, Some(read.into()), None, handout).await?;
        let written = snapshot.applied;
        let read = ReadRecord::of(snapshot, run)?;
        // One repeated hand-out of a generation is normal, after a lost response or a crash. Report each further one.
        if written && !self.backend.handed_out.note_if_higher(key.id, read.record.family.generation) {
            self.config.events.of(EventKind::SuccessorUnconfirmed, &key.id, &key.subject.name);
        }
        Ok(read)
    }

    /// The store has lost a rotation in a failover. So this writes the token's generation to the record.
    pub(super) async fn fast_forward(
        &self,
        key: &SessionKey,
        run: RunId,
        presented: PresentedToken,
        now: Timestamp,
    ) -> Result<Arc<SessionRecord>, SessionError> {
        let catch_up = |record: &mut SessionRecord| record.family.fast_forward(presented.generation, now);
        let record = record_if_run_id_matches(
            self.compare_and_set("fast_forward", key, None, None, catch_up).await?,
            run,
        )?;
        if record.family.revoked {
            return Err(self.refused_by_record(key, Refusal::Revoked));
        }
        if !record.family.is_live(now) {
            return Err(Refusal::Expired.into());
        }
        self.config.events.of(EventKind::LostWriteRepaired, &key.id, &key.subject.name);
        Ok(record)
    }

    /// Revokes a session that has passed this instance's timeouts, which may be shorter than the record's. So all
    /// instances refuse it.
    pub(super) async fn revoke_past_timeouts(&self, key: &SessionKey, now: Timestamp) -> SessionError {
        if self.backend.revoke(&Revoke::Session(key.clone()), now).await.is_err() {
            return SessionError::Unavailable;
        }
        self.revocation.note_revoked(key);
        Refusal::Expired.into()
    }

    /// Handles a superseded refresh token that was presented from `client_origin`. The request is refused.
    ///
    /// It is unknown which client is the attacker, so the session is revoked for both. With the setting
    /// `keep_session_on_reuse_at_recorded_origin`, the session is not revoked if the token is one generation behind and
    /// the client is at the recorded origin.
    pub(super) async fn revoke_reused(
        &self,
        key: &SessionKey,
        record: &SessionRecord,
        presented: u64,
        client_origin: Option<&str>,
        now: Timestamp,
    ) -> SessionError {
        let family = &record.family;
        let reuse = Reuse {
            generations: family.generation.saturating_sub(presented),
            superseded_for: family.min_time_since_rotation(now),
            from_recorded_origin: self.is_at_recorded_origin(record, client_origin),
        };
        if self.config.client_origins.keep_on_reuse
            && reuse.generations == 1
            && reuse.from_recorded_origin == Some(true)
        {
            self.config.events.reuse(EventKind::ReuseTolerated, reuse, &key.id, &key.subject.name);
            return Refusal::Reuse.into();
        }
        let revoke = Revoke::Session(key.clone());
        let revoked = self.backend.revoke(&revoke, now).await;
        // If the session was revoked before, there is nothing to report. After an error, this is unknown, so the reuse
        // is reported. `backend.reused` prevents that the next attempt reports it again.
        let was_revoked_before = matches!(&revoked, Ok(revoked) if revoked.is_empty());
        if !was_revoked_before && self.backend.reused.note_if_higher(key.id, 1) {
            self.config.events.reuse(EventKind::ReuseDetected, reuse, &key.id, &key.subject.name);
        }
        let Ok(revoked) = revoked else { return SessionError::Unavailable };
        self.revocation.note_revoked(key);
        if revoked.is_empty() {
            return Refusal::Revoked.into();
        }
        Refusal::Reuse.into()
    }

    /// Whether the client is at the recorded origin: then the verdict is `Ignore`. `None` if no origin was recorded, if
    /// `compare_origin` is not set, or if that hook panicked.
    fn is_at_recorded_origin(&self, record: &SessionRecord, client_origin: Option<&str>) -> Option<bool> {
        let recorded =
            record.origin.is_some() || record.reauthentication.as_ref().is_some_and(|it| it.origin.is_some());
        if !recorded || !self.config.client_origins.are_compared() {
            return None;
        }
        self.compare_origin(record, client_origin).map(|verdict| verdict == OriginVerdict::Ignore)
    }
}
