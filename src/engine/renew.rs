//! Renewal: one compare-and-set, and what its answer means.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{Active, Engine, background::Write, issue::Basis};
use crate::{
    claims::Claims,
    event::{EventKind, Renewed},
    id::{RunId, SessionId},
    origin::OriginVerdict,
    protocol::{Presented, Refusal, Rotation, Standing, rotate},
    store::{SessionKey, SessionRecord, Snapshot, StoreError},
    time::Timestamp,
    token::RefreshClaims,
};

/// What shares a flight: the same session by the same *presented* generation, or a stale copy of
/// the token would ride along with a good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FlightKey {
    session: SessionId,
    run: RunId,
    presented: Presented,
    /// One that writes nothing must not stand in for one that does.
    passive: bool,
    /// Where it comes from, if reuse is judged by that.
    origin: Option<Arc<str>>,
}

/// A good signature vouches for the session, so nobody chose it, and few of its random bits will do.
impl Hash for FlightKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = *self.session.as_bytes();
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// What matters of a request that asks for a renewal, beyond its cookies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    /// Whether it has a body: see [`Presented::with_body`].
    pub(crate) with_body: bool,
    /// Whether it must not keep the session alive.
    pub(crate) passive: bool,
    /// Where it comes from, if that is compared.
    pub(crate) origin: Option<Arc<str>>,
}

/// A renewed session.
#[derive(Debug)]
pub(crate) struct Renewal<C> {
    pub(crate) active: Arc<Active<C>>,
    pub(crate) record: Arc<SessionRecord>,
    /// The generation that the request presented.
    pub(crate) presented: u64,
    /// When the record was read. What ended or changed later is not in it.
    pub(crate) read_at: Timestamp,
    pub(crate) how: Renewed,
}

impl<C> Renewal<C> {
    pub(super) fn basis(&self) -> Basis<'_> {
        let Active { key, run, generation, proof_at, .. } = &*self.active;
        let (run, generation, proof_at) = (*run, *generation, *proof_at);
        Basis { record: &self.record, key, run, generation, proof_at, read_at: self.read_at }
    }
}

impl<C> Clone for Renewal<C> {
    fn clone(&self) -> Self {
        Self { active: self.active.clone(), record: self.record.clone(), ..*self }
    }
}

/// Why a session was not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewError {
    /// Nobody knows: the store is away. Never a refusal.
    Unavailable,
    /// It is over, or not for whoever asked.
    Refused(Refusal),
}

impl From<Refusal> for RenewError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for RenewError {
    fn from(_: StoreError) -> Self {
        Self::Unavailable
    }
}

impl<C: Claims> Engine<C> {
    /// Renews what `refresh` names. Calls that come while one waits share its flight, and so one store call
    /// and one look at the application's claims.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        refresh: RefreshClaims,
        asking: &Asking,
    ) -> Result<Renewal<C>, RenewError> {
        let presented = Presented { generation: refresh.generation, with_body: asking.with_body };
        let (session, run, passive) = (refresh.session, refresh.run, asking.passive);
        let flight_key = FlightKey { session, run, presented, passive, origin: None };
        // Only those that could be told apart by it have a flight of their own.
        let origin = asking.origin.clone().filter(|_| self.config.origins.keep_on_reuse);
        let flight_key = FlightKey { origin, ..flight_key };
        let fly = || {
            let key = self.key(refresh.subject.clone(), session);
            self.clone().fly(key, run, presented, passive, asking.origin.clone())
        };
        let mut again = false;
        let (mut renewal, started) = loop {
            let flight = self.flights.join(flight_key.clone(), fly);
            let (landed, started) = flight.await.ok_or(RenewError::Unavailable)?;
            let renewal = landed?;
            // A caller that boarded late may come after a change of claims that the flight did not see.
            let changed = !started && self.standing_since_read(&renewal) == Standing::Stale;
            if !changed || std::mem::replace(&mut again, true) {
                break (renewal, started);
            }
        };
        if !started && renewal.how == Renewed::Advanced {
            renewal.how = Renewed::Replayed;
        }
        // Well signed, and yet not from here.
        if !refresh.are_of(&renewal.record.family) {
            self.config.events.of(EventKind::Refused(Refusal::BadToken), &session, &refresh.subject);
            return Err(Refusal::BadToken.into());
        }
        // Or after an end.
        if self.revocations.is_revoked(&session) {
            return Err(Refusal::Denylisted.into());
        }
        if self.revocations.is_past(run) {
            return Err(Refusal::OtherRun.into());
        }
        let Renewal { active, record, .. } = &mut renewal;
        self.judge_origin(active, record, asking.origin.as_deref())?;
        Ok(renewal)
    }

    /// What has come to be known of a renewed session since its record was read.
    pub(super) fn standing_since_read(&self, renewal: &Renewal<C>) -> Standing {
        let (active, read_at) = (&renewal.active, renewal.read_at);
        let SessionKey { subject, id } = &active.key;
        self.revocations.standing_since(active.run, id, &subject.name, read_at)
    }

    /// Each caller is judged by where it is, whoever it shared a flight with.
    pub(super) fn judge_origin(
        &self,
        active: &mut Arc<Active<C>>,
        record: &SessionRecord,
        here: Option<&str>,
    ) -> Result<(), RenewError> {
        let verdict = self.compare_origin(record, here).ok_or(RenewError::Unavailable)?;
        let key = &active.key;
        if verdict != OriginVerdict::Ignore {
            self.config.events.of(EventKind::OriginChanged(verdict), &key.id, &key.subject.name);
        }
        match verdict {
            OriginVerdict::Ignore | OriginVerdict::Report => Ok(()),
            OriginVerdict::StepUp => {
                *active = Arc::new(active.without_proof());
                Ok(())
            }
            OriginVerdict::Refuse => Err(Refusal::Origin.into()),
        }
    }

    async fn fly(
        self: Arc<Self>,
        key: SessionKey,
        run: RunId,
        presented: Presented,
        passive: bool,
        here: Option<Arc<str>>,
    ) -> Result<Renewal<C>, RenewError> {
        let renewal = self.renewed(&key, run, presented, passive, here.as_ref()).await;
        match &renewal {
            // Nothing came of it but an answer.
            Ok(_) if passive => {}
            Ok(renewal) => self.config.events.of(EventKind::Renewed(renewal.how), &key.id, &key.subject.name),
            Err(RenewError::Refused(why)) => {
                self.config.events.of(EventKind::Refused(*why), &key.id, &key.subject.name)
            }
            Err(RenewError::Unavailable) => self.pause_early_renewal(&key.id),
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
    ) -> Result<Renewal<C>, RenewError> {
        let now = self.now();
        let (mut record, how) = match passive {
            false => self.rotate(key, run, presented, here, now).await?,
            true => self.only_look(key, run, presented, here, now).await?,
        };
        let claims = self.reload(key, &mut record).await?;
        // Nothing moves the idle deadline for a passive request, so it may come first.
        let family = &record.family;
        let limit = if passive { family.idle_deadline } else { family.absolute_deadline };
        let expires = self.tokens().access_expiry(now, limit);
        let active = Active::of_record(self, key.clone(), &record, run, now, expires, claims);
        Ok(Renewal { active: Arc::new(active), record, presented: presented.generation, read_at: now, how })
    }

    /// One round trip for every row of the table, two for a race's loser: the store is asked to
    /// rotate at once, and answers with the record as it then is.
    async fn rotate(
        self: &Arc<Self>,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        here: Option<&Arc<str>>,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), RenewError> {
        let advance = presented.advance(now);
        let snapshot = self.ask_about("advance", run, self.store.advance(key, &advance)).await?;
        let advanced = snapshot.applied;
        let mut read = Read::of(snapshot, run)?;
        self.note_time(read.record.family.offered_at.max(read.record.family.last_seen()));
        if read.record.family.is_live(now) && !self.is_live(&read.record.family, now) {
            return Err(self.revoke_outlived(key, now).await);
        }
        if read.record.family.is_ahead(now) {
            let cap = |record: &mut SessionRecord| record.family.cap_ahead(now);
            read = Read::of(self.write("cap", key, Some(read.into()), None, cap).await?, run)?;
        }
        let how = if advanced {
            Renewed::Advanced
        } else {
            let mut rotation = rotate(presented, &read.record.family, now);
            if rotation == Rotation::Replay && read.record.family.offer_is_due(now) {
                read = self.offer(key, read, now).await?;
                rotation = rotate(presented, &read.record.family, now);
            }
            match rotation {
                Rotation::Confirm => Renewed::Confirmed,
                Rotation::Replay => Renewed::Replayed,
                // A rotation that was due and did not apply: the store compared by another clock.
                // An access token for the current generation is right either way.
                Rotation::Reissue | Rotation::Advance => Renewed::Reissued,
                Rotation::FastForward => {
                    return Ok((self.fast_forward(key, run, presented, now).await?, Renewed::FastForwarded));
                }
                Rotation::Reuse => {
                    return Err(self.reused(key, &read.record, presented.generation, here, now).await);
                }
                Rotation::Refuse(refusal) => return Err(self.refused_by_record(key, refusal)),
            }
        };
        self.write_behind(key, &read, how, now);
        Ok((read.record, how))
    }

    /// The current generation is handed out again to a client that presented its predecessor. The record
    /// must know before the response leaves: what that client may come back with counts from now on.
    async fn offer(&self, key: &SessionKey, read: Read, now: Timestamp) -> Result<Read, RenewError> {
        let run = read.run;
        let offer = |record: &mut SessionRecord| record.family.offer(now);
        let snapshot = self.write("offer", key, Some(read.into()), None, offer).await?;
        let offered = snapshot.applied;
        let read = Read::of(snapshot, run)?;
        // Once is a lost response, or a client that crashed.
        if offered && !self.offered.first(key.id, read.record.family.generation) {
            self.config.events.of(EventKind::SuccessorUnconfirmed, &key.id, &key.subject.name);
        }
        Ok(read)
    }

    /// For a request that must not keep its session alive: the same table, and nothing written, but
    /// for the end of a stolen session.
    async fn only_look(
        &self,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        here: Option<&Arc<str>>,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), RenewError> {
        let record = Arc::new(known(self.ask_about("get", run, self.store.get(key)).await?, run)?);
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

    /// What has ended by its record has ended for its access tokens too, if the feed did not tell.
    pub(super) fn refused_by_record(&self, key: &SessionKey, why: Refusal) -> RenewError {
        if why == Refusal::Denylisted && !self.revocations.is_revoked(&key.id) {
            self.revocations.revoke(key, self.monotonic());
        }
        why.into()
    }

    /// The token proves a rotation that the store does not know: a failover lost that write.
    async fn fast_forward(
        &self,
        key: &SessionKey,
        run: RunId,
        presented: Presented,
        now: Timestamp,
    ) -> Result<Arc<SessionRecord>, RenewError> {
        let catch_up = |record: &mut SessionRecord| record.family.fast_forward(presented.generation, now);
        let record = known(self.write("fast_forward", key, None, None, catch_up).await?, run)?;
        if record.family.revoked {
            return Err(self.refused_by_record(key, Refusal::Denylisted));
        }
        if !record.family.is_live(now) {
            return Err(Refusal::Expired.into());
        }
        self.config.events.of(EventKind::LostWriteRepaired, &key.id, &key.subject.name);
        Ok(Arc::new(record))
    }

    /// What a renewal leaves to write that nobody waits for. Lost, a confirmation costs nothing but
    /// later detection of a theft, and a moved idle deadline is written by the next renewal.
    fn write_behind(self: &Arc<Self>, key: &SessionKey, read: &Read, how: Renewed, now: Timestamp) {
        let family = &read.record.family;
        let confirm = how == Renewed::Confirmed;
        let touch = how != Renewed::Advanced && family.touch_is_due(now, family.timing.rotation_interval);
        if !confirm && !touch {
            return;
        }
        let (engine, key, generation) = (self.clone(), key.clone(), family.generation);
        if confirm {
            // The access token that goes out with this need not do it again.
            self.seen.first(key.id, generation);
        }
        let (what, name) = match confirm {
            true => (Write::Confirm(generation), "confirm"),
            false => (Write::Touch, "touch"),
        };
        let read = read.clone();
        self.background.write((key.id, what), async move {
            // A confirmation moves the idle deadline too.
            let change = |record: &mut SessionRecord| match confirm {
                true => record.family.confirm(generation, now),
                false => record.family.touch(now),
            };
            let written = engine.write(name, &key, Some(read.into()), None, change).await;
            if confirm && written.is_err() {
                engine.seen.forget(&key.id);
            }
        });
    }
}

/// A record as it was read, to be changed later.
#[derive(Clone, Debug)]
struct Read {
    run: RunId,
    version: u64,
    record: Arc<SessionRecord>,
}

impl Read {
    /// Shared later anyway, and until then moved about.
    fn of(snapshot: Snapshot, run: RunId) -> Result<Self, Refusal> {
        let version = snapshot.version;
        Ok(Self { run, version, record: Arc::new(known(snapshot, run)?) })
    }
}

impl From<Read> for Snapshot {
    fn from(read: Read) -> Self {
        let record = Some(Arc::unwrap_or_clone(read.record));
        Self { run: read.run, version: read.version, record, applied: false }
    }
}

/// The record, if it is there and of the token's run.
pub(super) fn known(snapshot: Snapshot, run: RunId) -> Result<SessionRecord, Refusal> {
    if snapshot.run != run {
        return Err(Refusal::OtherRun);
    }
    snapshot.record.ok_or(Refusal::Unknown)
}
