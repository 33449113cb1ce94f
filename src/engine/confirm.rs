//! Confirmations of a generation, by an access token or by a refresh token. They are written in the background: a
//! lost confirmation only delays the detection of reuse.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Engine, VerifiedToken, record::ReadRecord};
use crate::{
    backend::Write,
    claims::Claims,
    device_binding::DeviceBinding,
    event::Renewed,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
};

/// The latest time at which a token with this `iat` was issued: `iat` is rounded down to a second.
pub(super) fn latest_issue_time(issued: Timestamp) -> Timestamp {
    issued + Duration::from_secs(1)
}

impl<C: Claims> Engine<C> {
    /// Confirms the generation of an access token that a request carries, if the token is old enough. Writes
    /// once for each generation, unless the write fails or is too early by the record's settings.
    ///
    /// This instance's settings decide whether to ask the store. The record's settings decide the result.
    pub(super) fn confirm_once(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
        with_body: bool,
        now: Timestamp,
    ) {
        let generation = token.view.generation;
        if token.is_bound() {
            return self.note_use(token, now);
        }
        if generation == 0
            || now < token.confirms_from
            || token.needs_no_confirmation().load(Ordering::Relaxed)
        {
            return;
        }
        let (timing, issued) = (self.config.policy.rotation_timing(), latest_issue_time(token.view.issued));
        if !timing.confirms_by_access(issued, with_body, now)
            || token.needs_no_confirmation().swap(true, Ordering::Relaxed)
        {
            return;
        }
        let session = token.view.key.id;
        if !self.backend.confirmed.note_if_newer(session, generation) {
            return;
        }
        let (engine, token) = (self.clone(), token.clone());
        self.backend.write_behind(session, Write::Confirm(generation), async move {
            // In a bound session, only a renewal with a proof confirms a generation: this token may be a copy.
            let confirm = |record: &mut SessionRecord| {
                DeviceBinding::of(record).is_none_or(|binding| !binding.state().confirmed)
                    && record.family.timing.confirms_by_access(issued, with_body, now)
                    && record.family.confirm(generation, now)
            };
            match engine.compare_and_set("confirm", &token.view.key, None, None, confirm).await {
                Ok(written) => {
                    let family = written.record.map(|record| record.family);
                    // Too early by the record's settings. Retry with a later token.
                    if family.is_some_and(|it| it.generation == generation && it.confirmed_at.is_none()) {
                        engine.backend.confirmed.forget(&session);
                    }
                }
                Err(_) => {
                    engine.backend.confirmed.forget(&session);
                    token.needs_no_confirmation().store(false, Ordering::Relaxed);
                }
            }
        });
    }

    /// Writes that a bound session is in use, once for each of its access tokens: a refresh does not show that, if there are
    /// passive requests. If the write fails, the next request tries again.
    fn note_use(self: &Arc<Self>, token: &Arc<VerifiedToken<C>>, now: Timestamp) {
        // An expired token may be a copy: a client without the key must not keep the session alive.
        if now >= token.view.expires {
            return;
        }
        // Bound tokens confirm nothing, so this flag is free.
        if token.needs_no_confirmation().load(Ordering::Relaxed)
            || token.needs_no_confirmation().swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (engine, token) = (self.clone(), token.clone());
        self.backend.write_behind(token.view.key.id, Write::Touch, async move {
            let touch = |record: &mut SessionRecord| {
                let family = &mut record.family;
                let is_due = family.is_unused_since_renewal()
                    || family.touch_is_due(now, family.timing.rotation_interval);
                is_due && family.touch(now)
            };
            let written = engine.compare_and_set("touch", &token.view.key, None, None, touch).await;
            if written.is_err() {
                token.needs_no_confirmation().store(false, Ordering::Relaxed);
            }
        });
    }

    /// Writes what a renewal changed besides a rotation: a confirmation by its refresh token, or the idle deadline.
    /// If the write of the idle deadline fails, the next renewal writes it.
    pub(super) fn write_confirmation_or_use(
        self: &Arc<Self>,
        key: &SessionKey,
        read: &ReadRecord,
        how: Renewed,
        now: Timestamp,
    ) {
        let family = &read.record.family;
        let confirm = how == Renewed::Confirmed;
        let touch = how != Renewed::Rotated && family.touch_is_due(now, family.timing.rotation_interval);
        if !confirm && !touch {
            return;
        }
        let (engine, key, generation) = (self.clone(), key.clone(), family.generation);
        if confirm {
            // The new access token need not write the confirmation again.
            self.backend.confirmed.note_if_newer(key.id, generation);
        }
        let (what, name) = match confirm {
            true => (Write::Confirm(generation), "confirm"),
            false => (Write::Touch, "touch"),
        };
        let read = read.clone();
        self.backend.write_behind(key.id, what, async move {
            // A confirmation moves the idle deadline, too.
            let change = |record: &mut SessionRecord| match confirm {
                true => record.family.confirm(generation, now),
                false => record.family.touch(now),
            };
            let written = engine.compare_and_set(name, &key, Some(read.into()), None, change).await;
            if confirm && written.is_err() {
                engine.backend.confirmed.forget(&key.id);
            }
        });
    }
}
