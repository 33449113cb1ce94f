//! The rules of the protocol: the crate's own functions, unchanged or with one rule broken.

use std::time::Duration;

use tower_sliding_sessions::{
    Timestamp,
    protocol::{
        CookieDecision, Family, Policy, PresentedToken, RefreshDecision, Refusal, ResponseState,
        RotationTiming, Timing, TokenDecision, decide_cookies, decide_refresh, decide_tokens,
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
    pub(crate) fn renew(
        &self,
        record: &mut Record,
        presented: PresentedToken,
        now: Timestamp,
    ) -> RefreshDecision {
        let PresentedToken { generation, with_body } = presented;
        let mut family = self.as_judged(record, generation);
        if family.advance(presented.generation, now) {
            *record = Record { family, rotated_at: now };
            return RefreshDecision::Rotate;
        }
        let lag = family.generation.saturating_sub(generation);
        let confirmed = record.family.confirmed_at.is_some();
        let as_if = match self.broken {
            Some(Broken::RefreshConfirmsEarly) if lag == 0 && !confirmed => now + ticks(1),
            _ => now,
        };
        let judged = match self.broken {
            Some(Broken::LateBodyConfirms) if lag == 0 => PresentedToken { with_body: false, ..presented },
            _ => presented,
        };
        let rotation = match (self.broken, decide_refresh(judged, &family, as_if)) {
            (Some(Broken::NoGrace), RefreshDecision::ServePredecessor) if confirmed => RefreshDecision::Reuse,
            (Some(Broken::PredecessorForever), RefreshDecision::Reuse) if lag == 1 => {
                RefreshDecision::ServePredecessor
            }
            (Some(Broken::RefreshConfirmsAtOnce), RefreshDecision::Reissue) if !confirmed => {
                RefreshDecision::Confirm
            }
            (Some(Broken::LateBodyIsReuse), RefreshDecision::Refuse(Refusal::LateBody)) => {
                RefreshDecision::Reuse
            }
            (Some(Broken::LateBodyForever), RefreshDecision::Reuse) if with_body => {
                RefreshDecision::Refuse(Refusal::LateBody)
            }
            (_, rotation) => rotation,
        };
        assert_ne!(
            rotation,
            RefreshDecision::Rotate,
            "the compare-and-set did not apply, so it must not be due"
        );
        match rotation {
            RefreshDecision::Reuse => {
                record.family.revoke();
            }
            RefreshDecision::ServePredecessor if self.broken != Some(Broken::OfferNotRenewed) => {
                record.family.record_handout(now);
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
    pub(crate) fn settle(&self, departure: &ResponseState, now: Timestamp) -> CookieDecision {
        match (self.broken, decide_cookies(&self.writing(), departure, now)) {
            (Some(Broken::RefreshRewritten), CookieDecision::WriteAccess) => CookieDecision::WriteBoth,
            (Some(Broken::AccessAlone), CookieDecision::WriteBoth) => CookieDecision::WriteAccess,
            (_, settlement) => settlement,
        }
    }

    /// The tokens in a response to a token client, by the record that was read at `read_at`.
    pub(crate) fn exchange(
        &self,
        departure: &ResponseState,
        family: &Family,
        read_at: Timestamp,
        now: Timestamp,
    ) -> TokenDecision {
        // By how much the rotation is taken to be due later, by a known and by an unknown confirmation.
        let (seen, unseen) = match self.broken {
            Some(Broken::RepeatedAtTheBound) => (ticks(1), ticks(1)),
            Some(Broken::RepeatedWithoutGrace) => (self.timing().grace, self.timing().grace),
            Some(Broken::RepeatedAsIfUnseen) => (Duration::ZERO, self.timing().grace),
            _ => (Duration::ZERO, Duration::ZERO),
        };
        let confirmed_at = family.confirmed_at.map(|at| at + seen);
        let family = Family { confirmed_at, timing: self.writing(), ..*family };
        match (self.broken, decide_tokens(departure, &family, read_at + unseen, now)) {
            (Some(Broken::RefreshRewritten), TokenDecision::AccessOnly) => TokenDecision::Both,
            (Some(Broken::AccessAlone), TokenDecision::Both) if departure.served > departure.presented => {
                TokenDecision::AccessOnly
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
