//! The rules of the protocol: the crate's own functions, whole or with one of them broken.

use std::time::Duration;

use tower_sliding_sessions::{
    Timestamp,
    protocol::{
        Departure, Exchange, Family, Policy, Presented, Refusal, Rotation, RotationTiming, Settlement,
        Timing, exchange, rotate, settle,
    },
};

use crate::{model::ticks, world::Age};

/// A timeout that nothing in these worlds lives to see.
pub(crate) const FAR: Duration = Duration::from_secs(1_000_000_000);

/// One rule, broken. The searches must notice each of them, or they would notice nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Cookies are written however long the handler ran.
    NoWriteWindow,
    /// The predecessor is good for one grace after the rotation, confirmed or not.
    GraceFromRotation,
    /// The next rotation may come one interval after the last one, however late that was confirmed.
    IntervalFromRotation,
    /// A re-issue writes the refresh token as well, though it did not change.
    RefreshRewritten,
    /// A token client's is still repeated if the answer may arrive just when a rotation is due.
    RepeatedAtTheBound,
    /// A token client's is repeated until a rotation is due, as if answers took no time.
    RepeatedWithoutGrace,
    /// A token client's is repeated as if what was not known to be confirmed had not been seen yet.
    RepeatedAsIfUnseen,
    /// The predecessor is dead as soon as its successor is confirmed.
    NoGrace,
    /// The access token of a new generation goes out without the refresh token.
    AccessAlone,
    /// The predecessor stays good as long as it is the predecessor.
    PredecessorForever,
    /// An access token confirms its generation a tick too early.
    AccessConfirmsEarly,
    /// A refresh token confirms its generation a tick too early.
    RefreshConfirmsEarly,
    /// An access token confirms its generation at once, whatever the crash window.
    AccessConfirmsAtOnce,
    /// A refresh token confirms its generation at once, whatever the crash window.
    RefreshConfirmsAtOnce,
    /// A refresh token confirms its generation by when that was first handed out.
    OfferNotRenewed,
    /// A request with a body confirms as if it could not be late.
    LateBodyConfirms,
    /// A late request with a body is taken for reuse like any other.
    LateBodyIsReuse,
    /// A late request with a body is never taken for reuse.
    LateBodyForever,
    /// Every sight of the current generation confirms it anew, so the grace never ends.
    GraceRestarts,
}

/// A session's record, and when it was last rotated. The protocol has no use for the latter; it is
/// kept for the broken rules that do.
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

/// A policy, and the rule that is broken, if any.
///
/// Whatever can be judged is judged by the crate. A broken rule changes what goes into one of its
/// functions or what comes out of it, and nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) broken: Option<Broken>,
}

impl Rules {
    pub(crate) fn timing(&self) -> &Timing {
        self.policy.timing()
    }

    /// Whether the time of the last rotation makes any difference.
    pub(crate) fn mind_rotations(&self) -> bool {
        matches!(self.broken, Some(Broken::GraceFromRotation | Broken::IntervalFromRotation))
    }

    /// A renewal, as the engine does it: compare and set first, and read the table if that did not
    /// apply. A reuse ends the session. What is to be confirmed is left to [`Self::note`].
    pub(crate) fn renew(&self, record: &mut Record, presented: Presented, now: Timestamp) -> Rotation {
        let Presented { generation, with_body } = presented;
        let mut family = self.as_judged(record, generation);
        if family.advance(&presented.advance(now)) {
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
            (Some(Broken::LateBodyIsReuse), Rotation::Refuse(Refusal::Stale)) => Rotation::Reuse,
            (Some(Broken::LateBodyForever), Rotation::Reuse) if with_body => Rotation::Refuse(Refusal::Stale),
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

    /// How many ticks too early an access token confirms its generation.
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

    /// Confirms `generation`, whatever was seen of it.
    pub(crate) fn note(&self, record: &mut Record, generation: u64, at: Timestamp) {
        let family = &mut record.family;
        family.confirm(generation, at);
        if self.broken == Some(Broken::GraceRestarts) && family.generation == generation && !family.revoked {
            family.confirmed_at = Some(at);
        }
    }

    /// What cookies leave with a response.
    pub(crate) fn settle(&self, departure: &Departure, now: Timestamp) -> Settlement {
        match (self.broken, settle(&self.writing(), departure, now)) {
            (Some(Broken::RefreshRewritten), Settlement::WriteAccess) => Settlement::WriteBoth,
            (Some(Broken::AccessAlone), Settlement::WriteBoth) => Settlement::WriteAccess,
            (_, settlement) => settlement,
        }
    }

    /// What tokens leave with an answer to a token client, by the record that was read at `read_at`.
    pub(crate) fn exchange(
        &self,
        departure: &Departure,
        family: &Family,
        read_at: Timestamp,
        now: Timestamp,
    ) -> Exchange {
        // How much later the rotation is taken to be due, by what was confirmed and by what was not.
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

    /// The record as the table reads it for a token of `generation`. Two of the broken rules take
    /// the time of the rotation for that of the confirmation.
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
