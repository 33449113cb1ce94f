//! The rules of the protocol: the crate's own functions, unchanged or with one rule broken.

use std::time::Duration;

use tower_sliding_sessions::{
    Timestamp,
    protocol::{
        Departure, Exchange, Family, Policy, Presented, Refusal, Rotation, RotationTiming, Settlement,
        Timing, exchange, rotate, settle,
    },
};

use crate::{model::ticks, world::Age};

/// A timeout longer than any of these worlds lives.
pub(crate) const FAR: Duration = Duration::from_secs(1_000_000_000);

/// One broken rule. The searches must detect each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Cookies are written after any running time of the handler.
    NoWriteWindow,
    /// The predecessor is valid for one grace period after the rotation, confirmed or not.
    GraceFromRotation,
    /// The next rotation may come one interval after the last one, even if that was confirmed late.
    IntervalFromRotation,
    /// A reissue writes the refresh token as well, although it did not change.
    RefreshRewritten,
    /// A token client's refresh token is repeated even if the response may arrive when a rotation is due.
    RepeatedAtTheBound,
    /// A token client's is repeated until a rotation is due, as if responses took no time.
    RepeatedWithoutGrace,
    /// A token client's is repeated as if an unknown confirmation had not happened.
    RepeatedAsIfUnseen,
    /// The predecessor is invalid as soon as its successor is confirmed.
    NoGrace,
    /// The access token of a new generation is sent without the refresh token.
    AccessAlone,
    /// The predecessor stays valid as long as it is the predecessor.
    PredecessorForever,
    /// An access token confirms its generation one tick too early.
    AccessConfirmsEarly,
    /// A refresh token confirms its generation one tick too early.
    RefreshConfirmsEarly,
    /// An access token confirms its generation at once, for every crash window.
    AccessConfirmsAtOnce,
    /// A refresh token confirms its generation at once, for every crash window.
    RefreshConfirmsAtOnce,
    /// A refresh token confirms its generation by the time at which it was first sent.
    OfferNotRenewed,
    /// A request with a body confirms as if it could not be late.
    LateBodyConfirms,
    /// A late request with a body is taken for reuse like any other.
    LateBodyIsReuse,
    /// A late request with a body is never taken for reuse.
    LateBodyForever,
    /// Every request with the current generation confirms it again, so the grace period never ends.
    GraceRestarts,
}

/// A session's record, and the time of the last rotation. The protocol does not use that time: it is for
/// the broken rules that do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) family: Family,
    pub(crate) rotated_at: Timestamp,
}

impl Record {
    pub(crate) fn begin(now: Timestamp, timing: &Timing) -> Self {
        let family = Family {
            timing: RotationTiming::from(timing),
            ..Family::begin(now, timing.idle_timeout, timing.absolute_timeout)
        };
        Self { family, rotated_at: now }
    }
}

/// A policy, and the broken rule, if any.
///
/// The crate makes all decisions. A broken rule changes only the input or the output of one of its
/// functions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) broken: Option<Broken>,
}

impl Rules {
    pub(crate) fn timing(&self) -> &Timing {
        self.policy.timing()
    }

    /// Whether the time of the last rotation makes a difference.
    pub(crate) fn mind_rotations(&self) -> bool {
        matches!(self.broken, Some(Broken::GraceFromRotation | Broken::IntervalFromRotation))
    }

    /// A renewal, as the engine does it: first the compare-and-set, and the table if that did not apply.
    /// Reuse revokes the session. [`Self::note`] writes confirmations.
    pub(crate) fn renew(&self, record: &mut Record, presented: Presented, now: Timestamp) -> Rotation {
        let Presented { generation, with_body } = presented;
        let mut family = self.as_judged(record, generation);
        if family.advance(presented.generation, now) {
            *record = Record { family, rotated_at: now };
            return Rotation::Advance;
        }
        let lag = family.generation.saturating_sub(generation);
        let confirmed = record.family.confirmed_at.is_some();
        let as_if = match self.broken {
            Some(Broken::RefreshConfirmsEarly) if lag == 0 && !confirmed => now + ticks(1),
            _ => now,
        };
        let judged = match self.broken {
            Some(Broken::LateBodyConfirms) if lag == 0 => Presented { with_body: false, ..presented },
            _ => presented,
        };
        let rotation = match (self.broken, rotate(judged, &family, as_if)) {
            (Some(Broken::NoGrace), Rotation::Replay) if confirmed => Rotation::Reuse,
            (Some(Broken::PredecessorForever), Rotation::Reuse) if lag == 1 => Rotation::Replay,
            (Some(Broken::RefreshConfirmsAtOnce), Rotation::Reissue) if !confirmed => Rotation::Confirm,
            (Some(Broken::LateBodyIsReuse), Rotation::Refuse(Refusal::LateBody)) => Rotation::Reuse,
            (Some(Broken::LateBodyForever), Rotation::Reuse) if with_body => {
                Rotation::Refuse(Refusal::LateBody)
            }
            (_, rotation) => rotation,
        };
        assert_ne!(rotation, Rotation::Advance, "the compare-and-set did not apply, so it must not be due");
        match rotation {
            Rotation::Reuse => {
                record.family.revoke();
            }
            Rotation::Replay if self.broken != Some(Broken::OfferNotRenewed) => {
                record.family.offer(now);
            }
            _ => {}
        }
        rotation
    }

    /// Whether a request with an access token that was issued at `issued` confirms its generation.
    pub(crate) fn confirms(
        &self,
        record: &Record,
        issued: Timestamp,
        with_body: bool,
        now: Timestamp,
    ) -> bool {
        let (with_body, now) = (self.minds_body(with_body), now + ticks(self.early()));
        self.broken == Some(Broken::AccessConfirmsAtOnce)
            || record.family.timing.confirms_by_access(issued, with_body, now)
    }

    /// By how many ticks an access token confirms its generation too early.
    pub(crate) fn early(&self) -> Age {
        match self.broken {
            Some(Broken::AccessConfirmsEarly) => 1,
            Some(Broken::AccessConfirmsAtOnce) => Age::MAX / 2,
            _ => 0,
        }
    }

    /// Whether a body makes a difference to what a request confirms.
    pub(crate) fn minds_body(&self, with_body: bool) -> bool {
        with_body && self.broken != Some(Broken::LateBodyConfirms)
    }

    /// Confirms `generation`.
    pub(crate) fn note(&self, record: &mut Record, generation: u64, at: Timestamp) {
        let family = &mut record.family;
        family.confirm(generation, at);
        if self.broken == Some(Broken::GraceRestarts) && family.generation == generation && !family.revoked {
            family.confirmed_at = Some(at);
        }
    }

    /// The cookies that leave with a response.
    pub(crate) fn settle(&self, departure: &Departure, now: Timestamp) -> Settlement {
        match (self.broken, settle(&self.writing(), departure, now)) {
            (Some(Broken::RefreshRewritten), Settlement::WriteAccess) => Settlement::WriteBoth,
            (Some(Broken::AccessAlone), Settlement::WriteBoth) => Settlement::WriteAccess,
            (_, settlement) => settlement,
        }
    }

    /// The tokens in a response to a token client, by the record that was read at `read_at`.
    pub(crate) fn exchange(
        &self,
        departure: &Departure,
        family: &Family,
        read_at: Timestamp,
        now: Timestamp,
    ) -> Exchange {
        // By how much the rotation is taken to be due later, by a known and by an unknown confirmation.
        let (seen, unseen) = match self.broken {
            Some(Broken::RepeatedAtTheBound) => (ticks(1), ticks(1)),
            Some(Broken::RepeatedWithoutGrace) => (self.timing().grace, self.timing().grace),
            Some(Broken::RepeatedAsIfUnseen) => (Duration::ZERO, self.timing().grace),
            _ => (Duration::ZERO, Duration::ZERO),
        };
        let confirmed_at = family.confirmed_at.map(|at| at + seen);
        let family = Family { confirmed_at, timing: self.writing(), ..*family };
        match (self.broken, exchange(departure, &family, read_at + unseen, now)) {
            (Some(Broken::RefreshRewritten), Exchange::AccessOnly) => Exchange::Both,
            (Some(Broken::AccessAlone), Exchange::Both) if departure.served > departure.presented => {
                Exchange::AccessOnly
            }
            (_, exchange) => exchange,
        }
    }

    fn writing(&self) -> RotationTiming {
        let timing = RotationTiming::from(self.timing());
        match self.broken {
            Some(Broken::NoWriteWindow) => RotationTiming { write_window: FAR, ..timing },
            _ => timing,
        }
    }

    /// The record as the table reads it for a token of `generation`. Two of the broken rules use the time
    /// of the rotation as that of the confirmation.
    fn as_judged(&self, record: &Record, generation: u64) -> Family {
        let mut family = record.family;
        let lag = family.generation.saturating_sub(generation);
        let from_rotation = match self.broken {
            Some(Broken::GraceFromRotation) => lag == 1,
            Some(Broken::IntervalFromRotation) => lag == 0 && family.confirmed_at.is_some(),
            _ => false,
        };
        if from_rotation {
            family.confirmed_at = Some(record.rotated_at);
        }
        family
    }
}
