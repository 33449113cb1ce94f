//! What becomes of a session whose refresh token was reused, or that has outlived this instance's policy.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Engine, RenewError};
use crate::{
    claims::Claims,
    event::{EventKind, Reuse},
    id::SessionId,
    origin::OriginVerdict,
    protocol::{Family, Refusal},
    store::{Revoke, SessionKey, SessionRecord},
    time::{Timestamp, millis},
};

impl<C: Claims> Engine<C> {
    /// A superseded refresh token was presented from `here`. Nobody can tell who holds the copy, so the
    /// session is revoked for both; unless the application wants it kept where the client is at home.
    pub(super) async fn reused(
        &self,
        key: &SessionKey,
        record: &SessionRecord,
        presented: u64,
        here: Option<&Arc<str>>,
        now: Timestamp,
    ) -> RenewError {
        let family = &record.family;
        let reuse = Reuse {
            generations: family.generation.saturating_sub(presented),
            superseded_for: family.superseded_for(now),
            from_recorded_origin: self.is_at_home(record, here.map(|here| &**here)),
        };
        if self.config.origins.keep_on_reuse
            && reuse.generations == 1
            && reuse.from_recorded_origin == Some(true)
        {
            self.config.events.reuse(EventKind::ReuseTolerated, reuse, &key.id, &key.subject.name);
            return Refusal::Reuse.into();
        }
        let revoke = Revoke::Session(key.clone());
        let ended = self.ask("revoke", self.store.revoke(&revoke, now)).await;
        // An answer that was lost is no reason to keep reuse quiet, and none to report it twice.
        let is_news = !matches!(&ended, Ok(ended) if ended.is_empty());
        if is_news && self.thefts.first(key.id, 1) {
            self.config.events.reuse(EventKind::ReuseDetected, reuse, &key.id, &key.subject.name);
        }
        let Ok(ended) = ended else { return RenewError::Unavailable };
        self.revocations.revoke(key, self.monotonic());
        if ended.is_empty() {
            return Refusal::Denylisted.into();
        }
        Refusal::Reuse.into()
    }

    /// None if nothing was recorded, or nothing is compared.
    fn is_at_home(&self, record: &SessionRecord, here: Option<&str>) -> Option<bool> {
        let recorded =
            record.origin.is_some() || record.reauthentication.as_ref().is_some_and(|it| it.origin.is_some());
        if !recorded || !self.config.origins.are_compared() {
            return None;
        }
        self.compare_origin(record, here).map(|verdict| verdict == OriginVerdict::Ignore)
    }

    /// Whether a session is live by its record, and by this instance's policy.
    pub(super) fn is_live(&self, family: &Family, now: Timestamp) -> bool {
        let timing = self.config.policy.timing();
        family.is_live_within(now, timing.idle_timeout, timing.absolute_timeout)
    }

    /// Revokes a session that is live by its record and not by this instance's policy, so that it is over
    /// for every instance.
    pub(super) async fn revoke_outlived(&self, key: &SessionKey, now: Timestamp) -> RenewError {
        let revoke = Revoke::Session(key.clone());
        if self.ask("revoke", self.store.revoke(&revoke, now)).await.is_err() {
            return RenewError::Unavailable;
        }
        self.revocations.revoke(key, self.monotonic());
        Refusal::Expired.into()
    }

    /// After a failure, early renewal rests for 1 to 5 s, so that a hanging store slows nobody.
    pub(super) fn pause_early_renewal(&self, jitter: &SessionId) {
        let pause = Duration::from_millis(1000 + u64::from(jitter.jitter()) * 4000 / 255);
        let until = self.monotonic().saturating_add(pause);
        self.early_again_at.fetch_max(millis(until), Ordering::Relaxed);
    }
}
