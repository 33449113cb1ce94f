//! Renewal: one store call that rotates if a rotation is due, and what its answer means.

use std::{
    hash::{Hash, Hasher},
    pin::pin,
    sync::Arc,
};

use super::{
    Authenticated, Engine, RequestContext, SessionView, VerifiedToken,
    record::{Read, known},
};
use crate::{
    backend::Write,
    claims::Claims,
    event::{EventKind, Renewed},
    id::{RunId, SessionId},
    origin::OriginVerdict,
    protocol::{Presented, Refusal, Rotation, Standing, rotate},
    revocation::SessionError,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
    token::RefreshClaims,
};

/// Renewals with the same key share one run: the same session by the same *presented* generation. A request
/// with a copied older token must not share the run of a valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenewalKey {
    session: SessionId,
    run: RunId,
    presented: Presented,
    /// A passive renewal writes nothing, so it must not take the place of another one.
    passive: bool,
    /// Where it comes from, if reuse is judged by that.
    origin: Option<Arc<str>>,
}

/// A valid signature vouches for the session ID, so an attacker cannot choose it, and a few of its random
/// bits are enough.
impl Hash for RenewalKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = *self.session.as_bytes();
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// A renewed session.
#[derive(Debug)]
pub(crate) struct Renewal<C> {
    pub(crate) session: Authenticated<C>,
    pub(crate) record: Arc<SessionRecord>,
    /// The generation that the request presented.
    pub(crate) presented: u64,
    /// When the record was read. Later changes are not in it.
    pub(crate) read_at: Timestamp,
    pub(crate) how: Renewed,
}

impl<C> Clone for Renewal<C> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), record: self.record.clone(), ..*self }
    }
}

impl<C: Claims> Engine<C> {
    /// Renews the session of a refresh token. Parallel calls share one store call and one call of the claims
    /// reload hook.
    pub(super) async fn renew(
        self: &Arc<Self>,
        refresh: RefreshClaims,
        context: &RequestContext,
    ) -> Result<Renewal<C>, SessionError> {
        let presented = Presented { generation: refresh.generation, with_body: context.with_body };
        let (session, run, passive) = (refresh.session, refresh.run, context.passive);
        let origin = context.origin.clone().filter(|_| self.config.origins.keep_on_reuse);
        let key = RenewalKey { session, run, presented, passive, origin };
        let start = || {
            let key = self.key(refresh.subject.clone(), session);
            self.clone().renew_once(key, run, presented, passive, context.origin.clone())
        };
        let mut again = false;
        let (mut renewal, started) = loop {
            let mut run = pin!(self.renewals.join(key.clone(), start));
            let joined = self.backend.in_time_of_run(run.as_mut()).await;
            let (renewal, started) = joined.flatten().ok_or(SessionError::Unavailable)?;
            let renewal = renewal?;
            // The claims may have changed between the start of a shared run and this request.
            let changed = !started && self.standing_since_read(&renewal) == Standing::Stale;
            if !changed || std::mem::replace(&mut again, true) {
                break (renewal, started);
            }
        };
        if !started && renewal.how == Renewed::Rotated {
            renewal.how = Renewed::Replayed;
        }
        // Its signature is valid, but no record has these times.
        if !self.are_of(&refresh, &renewal.record.family) {
            self.config.events.of(EventKind::Refused(Refusal::BadToken), &session, &refresh.subject);
            return Err(Refusal::BadToken.into());
        }
        // It may have been revoked since the record was read.
        self.revocation.denylist.check(&session, run)?;
        let Renewal { session, record, .. } = &mut renewal;
        self.judge_origin(session, record, context.origin.as_deref())?;
        Ok(renewal)
    }

    /// What this instance learned of a session since its record was read.
    pub(super) fn standing_since_read(&self, renewal: &Renewal<C>) -> Standing {
        let SessionView { key, run, .. } = renewal.session.view();
        self.revocation.denylist.standing_since(*run, &key.id, &key.subject.name, renewal.read_at)
    }

    /// Judges where a request comes from. Requests that share a renewal are judged one by one.
    pub(super) fn judge_origin(
        &self,
        session: &mut Authenticated<C>,
        record: &SessionRecord,
        here: Option<&str>,
    ) -> Result<(), SessionError> {
        let verdict = self.compare_origin(record, here).ok_or(SessionError::Unavailable)?;
        if verdict != OriginVerdict::Ignore {
            let key = &session.view().key;
            self.config.events.of(EventKind::OriginChanged(verdict), &key.id, &key.subject.name);
        }
        match verdict {
            OriginVerdict::Ignore | OriginVerdict::Report => Ok(()),
            OriginVerdict::StepUp => {
                session.later = Some(Arc::new(session.view().requiring_step_up()));
                Ok(())
            }
            OriginVerdict::Refuse => Err(Refusal::OriginRefused.into()),
        }
    }

    async fn renew_once(
        self: Arc<Self>,
        key: SessionKey,
        run: RunId,
        presented: Presented,
        passive: bool,
        here: Option<Arc<str>>,
    ) -> Result<Renewal<C>, SessionError> {
        let renewal = self.renewed(&key, run, presented, passive, here.as_ref()).await;
        let events = &self.config.events;
        match &renewal {
            // A passive renewal changes nothing.
            Ok(_) if passive => {}
            Ok(renewal) => events.of(EventKind::Renewed(renewal.how), &key.id, &key.subject.name),
            Err(SessionError::Refused(why)) => {
                events.of(EventKind::Refused(*why), &key.id, &key.subject.name);
            }
            Err(SessionError::Unavailable) => {
                self.backend.pause_early_renewal(&key.id, self.revocation.monotonic());
            }
        }
        renewal
    }

    async fn renewed(
        self: &Arc<Self>,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        passive: bool,
        here: Option<&Arc<str>>,
    ) -> Result<Renewal<C>, SessionError> {
        let now = self.now();
        let (mut record, how) = match passive {
            false => self.rotate(key, run, presented, here, now).await?,
            true => Box::pin(self.rotate_nothing(key, run, presented, here, now)).await?,
        };
        let claims = self.reload(key, &mut record).await?;
        // A passive request does not move the idle deadline, so that may come first.
        let family = &record.family;
        let limit = if passive { family.idle_deadline } else { family.absolute_deadline };
        let expires = self.tokens.codec().access_expiry(now, limit);
        let view = SessionView::of_record(key.clone(), &record, run, now, expires, claims);
        let session = Arc::new(VerifiedToken::renewed(self.clone(), view)).into();
        Ok(Renewal { session, record, presented: presented.generation, read_at: now, how })
    }

    /// One round trip: the store rotates if a rotation is due, and answers with the record as it then is. What is
    /// rarely needed is boxed, since the future of every renewal has room for it.
    async fn rotate(
        self: &Arc<Self>,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        here: Option<&Arc<str>>,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), SessionError> {
        let advance = self.backend.store.advance(key, presented.generation, now);
        let snapshot = self.revocation.ask_about("advance", run, advance).await?;
        let advanced = snapshot.applied;
        let mut read = Read::of(snapshot, run)?;
        self.revocation.note_time(read.record.family.offered_at.max(read.record.family.last_seen()));
        if read.record.family.is_live(now) && !self.is_live(&read.record.family, now) {
            return Err(Box::pin(self.revoke_outlived(key, now)).await);
        }
        let longest = self.config.policy.timing().absolute_timeout;
        if read.record.is_ahead(now, longest) {
            let cap = |record: &mut SessionRecord| record.cap_ahead(now, longest);
            read = Read::of(Box::pin(self.write("cap", key, Some(read.into()), None, cap)).await?, run)?;
        }
        let how = if advanced {
            Renewed::Rotated
        } else {
            let mut rotation = rotate(presented, &read.record.family, now);
            if rotation == Rotation::Replay && read.record.family.offer_is_due(now) {
                read = Box::pin(self.offer(key, read, now)).await?;
                rotation = rotate(presented, &read.record.family, now);
            }
            match rotation {
                Rotation::Confirm => Renewed::Confirmed,
                Rotation::Replay => Renewed::Replayed,
                // A rotation that was due and did not apply: the store compared by another time. An access token
                // of the current generation is right in both cases.
                Rotation::Reissue | Rotation::Advance => Renewed::Reissued,
                Rotation::FastForward => {
                    let record = Box::pin(self.fast_forward(key, run, presented, now)).await?;
                    return Ok((record, Renewed::FastForwarded));
                }
                Rotation::Reuse => {
                    let reused = self.reused(key, &read.record, presented.generation, here, now);
                    return Err(Box::pin(reused).await);
                }
                Rotation::Refuse(refusal) => return Err(self.refused_by_record(key, refusal)),
            }
        };
        self.write_behind(key, &read, how, now);
        Ok((read.record, how))
    }

    /// The current generation is handed out again to a client that presented its predecessor. The record
    /// must know before the response leaves: what that client may come back with counts from now on.
    async fn offer(&self, key: &SessionKey, read: Read, now: Timestamp) -> Result<Read, SessionError> {
        let run = read.run;
        let offer = |record: &mut SessionRecord| record.family.offer(now);
        let snapshot = self.write("offer", key, Some(read.into()), None, offer).await?;
        let offered = snapshot.applied;
        let read = Read::of(snapshot, run)?;
        // One time is a lost response, or a client that crashed.
        if offered && !self.backend.offered.is_new(key.id, read.record.family.generation) {
            self.config.events.of(EventKind::SuccessorUnconfirmed, &key.id, &key.subject.name);
        }
        Ok(read)
    }

    /// For a passive request: the same table, but nothing is rotated, and only reuse is written.
    async fn rotate_nothing(
        &self,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        here: Option<&Arc<str>>,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), SessionError> {
        let record = Arc::new(self.read(key, run).await?);
        if record.family.is_live(now) && !self.is_live(&record.family, now) {
            return Err(self.revoke_outlived(key, now).await);
        }
        match rotate(presented, &record.family, now) {
            Rotation::Reuse => Err(self.reused(key, &record, presented.generation, here, now).await),
            Rotation::Refuse(refusal) => Err(self.refused_by_record(key, refusal)),
            Rotation::Confirm
            | Rotation::Reissue
            | Rotation::Advance
            | Rotation::Replay
            | Rotation::FastForward => Ok((record, Renewed::Reissued)),
        }
    }

    /// The token is of a rotation that the store does not know: a failover lost that write.
    async fn fast_forward(
        &self,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        now: Timestamp,
    ) -> Result<Arc<SessionRecord>, SessionError> {
        let catch_up = |record: &mut SessionRecord| record.family.fast_forward(presented.generation, now);
        let record = known(self.write("fast_forward", key, None, None, catch_up).await?, run)?;
        if record.family.revoked {
            return Err(self.refused_by_record(key, Refusal::Revoked));
        }
        if !record.family.is_live(now) {
            return Err(Refusal::Expired.into());
        }
        self.config.events.of(EventKind::LostWriteRepaired, &key.id, &key.subject.name);
        Ok(Arc::new(record))
    }

    /// Writes that no request waits for. A lost confirmation only delays the detection of reuse. A lost idle
    /// deadline is written by the next renewal.
    fn write_behind(self: &Arc<Self>, key: &SessionKey, read: &Read, how: Renewed, now: Timestamp) {
        let family = &read.record.family;
        let confirm = how == Renewed::Confirmed;
        let touch = how != Renewed::Rotated && family.touch_is_due(now, family.timing.rotation_interval);
        if !confirm && !touch {
            return;
        }
        let (engine, key, generation) = (self.clone(), key.clone(), family.generation);
        if confirm {
            // The new access token need not do it again.
            self.backend.confirmed.is_new(key.id, generation);
        }
        let (what, name) = match confirm {
            true => (Write::Confirm(generation), "confirm"),
            false => (Write::Touch, "touch"),
        };
        let read = read.clone();
        self.backend.write_behind(key.id, what, async move {
            // A confirmation moves the idle deadline too.
            let change = |record: &mut SessionRecord| match confirm {
                true => record.family.confirm(generation, now),
                false => record.family.touch(now),
            };
            let written = engine.write(name, &key, Some(read.into()), None, change).await;
            if confirm && written.is_err() {
                engine.backend.confirmed.forget(&key.id);
            }
        });
    }
}
