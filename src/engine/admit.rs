//! Judges a request by its cookies, in memory.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::HeaderMap;

use super::{Active, Engine, Leftovers, Question};
use crate::{
    claims::Claims,
    cookie::{CookieValue, scan},
    cross_site::Renewal,
    event::EventKind,
    protocol::{Assessment, Refusal, Standing, assess},
    time::{Reading, Timestamp, millis},
    token::{AccessToken, InvalidToken, LONGEST_TOKEN, RefreshClaims, TokenCodec},
};

/// What becomes of a request.
pub(crate) enum Admission<C> {
    /// It has a session.
    Active(Arc<Active<C>>),
    /// Only the store can tell.
    Ask(Question<C>),
    /// It needs renewal, but there will be a better moment.
    NotNow,
    /// It has no session.
    Refuse(Refusal),
    /// Whether it has one is not known here, nor to the store.
    Unknown,
}

/// Why a refresh cookie proves nothing.
pub(super) enum Unproved {
    Refused(Refusal),
    /// It was signed with a key that other instances have, and this one has not.
    NewKey,
}

impl<C: Claims> Engine<C> {
    /// `renewal` tells what the request may do about a renewal, and `with_body` whether it has a body;
    /// most requests need neither. Leaves the cookies to remove in `leftovers`.
    pub(crate) fn admit(
        self: &Arc<Self>,
        headers: &HeaderMap,
        renewal: impl FnOnce() -> Renewal,
        passive: bool,
        with_body: impl FnOnce() -> bool,
        arrived: Reading,
        leftovers: &mut Leftovers,
    ) -> Admission<C> {
        self.start();
        let (mut access, mut refresh) = scan(headers, &self.config.cookies);
        if access == CookieValue::Conflict || refresh == CookieValue::Conflict {
            self.config.events.note(EventKind::ConflictingCookies);
            *leftovers = Leftovers::of(&self.config.cookies);
            (access, refresh) = match self.of_one_session(headers, (access, refresh), arrived.wall) {
                Ok(chosen) => chosen,
                Err(admission) => return admission,
            };
        }
        let active = match access {
            CookieValue::Value(token) => self.active(token),
            CookieValue::Absent | CookieValue::Conflict => None,
        };
        let now = arrived.wall;
        let blind =
            !self.knows_revocations(arrived) || active.as_deref().is_some_and(|it| self.doubts(it, arrived));
        let standing = match &active {
            Some(active) if !blind => self.standing(active),
            _ => Standing::Good,
        };
        let facts = active.as_deref().map(Active::facts);
        match (assess(&self.config.policy, facts.as_ref(), standing, now), active) {
            (Assessment::Admit | Assessment::AdmitOrRenew, Some(active)) if blind => {
                let refresh = self.refresh(refresh).ok().filter(|_| renewal() == Renewal::Allowed);
                Admission::Ask(Question::Check { active, refresh })
            }
            // Neither does it confirm, which counts as use, nor does it renew before it must.
            (Assessment::Admit | Assessment::AdmitOrRenew, Some(active)) if passive => {
                Admission::Active(active)
            }
            (Assessment::Admit, Some(active)) => {
                self.confirm_once(&active, with_body, now);
                Admission::Active(active)
            }
            (Assessment::AdmitOrRenew, Some(active)) => {
                self.confirm_once(&active, with_body, now);
                self.renew_early(active, refresh, renewal(), arrived)
            }
            (_, active) => {
                let ride = |active: &Arc<_>| !blind && self.may_ride_through(active, standing, now);
                let otherwise = active.clone().filter(ride);
                let admission = self.renewable(refresh, renewal(), otherwise, now);
                // That an access token has expired makes no difference to what it proves.
                if let (Admission::Ask(Question::Renew { refresh, .. }), Some(active)) = (&admission, &active)
                    && !passive
                    && active.key.id == refresh.session
                    && matches!(standing, Standing::Good | Standing::Stale)
                {
                    self.confirm_once(active, with_body, now);
                }
                admission
            }
        }
    }

    fn renewable(
        &self,
        refresh: CookieValue<'_>,
        renewal: Renewal,
        otherwise: Option<Arc<Active<C>>>,
        now: Timestamp,
    ) -> Admission<C> {
        let refresh = match self.refresh(refresh) {
            Ok(refresh) => refresh,
            Err(Unproved::Refused(refusal)) => return Admission::Refuse(refusal),
            Err(Unproved::NewKey) => return Admission::Unknown,
        };
        match renewal {
            _ if now >= refresh.limit => self.refused(Refusal::Expired, &refresh),
            Renewal::Allowed => {
                let otherwise = otherwise.filter(|active| active.key.id == refresh.session);
                Admission::Ask(Question::Renew { refresh, otherwise })
            }
            Renewal::NotYet => Admission::NotNow,
            Renewal::CrossSite => self.refused(Refusal::CrossSite, &refresh),
        }
    }

    fn renew_early(
        &self,
        active: Arc<Active<C>>,
        refresh: CookieValue<'_>,
        renewal: Renewal,
        now: Reading,
    ) -> Admission<C> {
        let paused = millis(now.monotonic) < self.early_again_at.load(Ordering::Relaxed);
        if paused || renewal != Renewal::Allowed {
            return Admission::Active(active);
        }
        match self.refresh(refresh) {
            Ok(refresh) if refresh.session == active.key.id && now.wall < refresh.limit => {
                Admission::Ask(Question::Renew { refresh, otherwise: Some(active) })
            }
            _ => Admission::Active(active),
        }
    }

    /// Whether an expired access token may do while the store is away, as the builder was told.
    fn may_ride_through(&self, active: &Active<C>, standing: Standing, now: Timestamp) -> bool {
        self.config.ride_through > Duration::ZERO
            && standing == Standing::Good
            && active.issued <= now
            && now < active.expires + self.config.ride_through
    }

    /// What an access token proves, if anything.
    pub(super) fn active(&self, token: &[u8]) -> Option<Arc<Active<C>>> {
        self.verify(token).ok()
    }

    /// The same, with the reason why it proves nothing.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Arc<Active<C>>, InvalidToken> {
        // Before it is so much as hashed.
        if token.len() > LONGEST_TOKEN {
            self.config.events.note(EventKind::AccessTokenInvalid(InvalidToken::TooLong));
            return Err(InvalidToken::TooLong);
        }
        if let Some(active) = self.verified.get(token) {
            return Ok(active);
        }
        let tokens = self.tokens();
        match tokens.verify_access(token) {
            Ok(claims) => {
                let active = Arc::new(Active::of_token(self, claims));
                self.note_time(active.issued);
                self.keep(&tokens, token, active.clone());
                Ok(active)
            }
            Err(invalid) => {
                self.config.events.note(EventKind::AccessTokenInvalid(invalid));
                Err(invalid)
            }
        }
    }

    /// A token that was minted here need not be verified when it first comes.
    pub(super) fn remember(
        &self,
        tokens: &Arc<TokenCodec>,
        token: &AccessToken<'_>,
        claims: &Arc<C>,
        minted: &str,
    ) {
        if !self.verified.is_off()
            && let Some(claims) = tokens.as_verified(token, claims.clone())
        {
            let active = Active::of_token(self, claims);
            active.vouch(self.monotonic());
            self.keep(tokens, minted.as_bytes(), Arc::new(active));
        }
    }

    fn keep(&self, tokens: &Arc<TokenCodec>, token: &[u8], active: Arc<Active<C>>) {
        self.verified.insert(token, active);
        // The keys were replaced meanwhile: what they no longer vouch for must go.
        if !Arc::ptr_eq(tokens, &self.tokens()) {
            self.verified.clear();
        }
    }

    /// What a refresh cookie proves.
    fn refresh(&self, cookie: CookieValue<'_>) -> Result<RefreshClaims, Unproved> {
        match cookie {
            CookieValue::Absent => Err(Unproved::Refused(Refusal::NoToken)),
            CookieValue::Conflict => Err(Unproved::Refused(Refusal::BadToken)),
            CookieValue::Value(token) => self.tokens().verify_refresh(token).map_err(|invalid| {
                self.config.events.note(EventKind::RefreshTokenInvalid(invalid));
                match invalid {
                    InvalidToken::NewKey => Unproved::NewKey,
                    _ => Unproved::Refused(Refusal::BadToken),
                }
            }),
        }
    }

    /// Whether the denylist may have forgotten that this token's session was revoked: the token was
    /// issued at a time that a clock showed by mistake, or that comes a second time.
    pub(super) fn doubts(&self, active: &Active<C>, now: Reading) -> bool {
        // From when it was vouched for, the denylist has all that was revoked, and keeps it so long.
        let is_vouched = |at: Duration| {
            at > self.revocations.incomplete_before()
                && now.monotonic < at.saturating_add(self.revocations.keep())
        };
        self.wall.is_doubtful(active.issued) && !active.vouched_at().is_some_and(is_vouched)
    }

    /// A clock showed this time somewhere. If it is one of the future, it will come here when the
    /// denylist has forgotten what was revoked.
    pub(super) fn note_time(&self, time: Timestamp) {
        self.wall.is_ahead_elsewhere(time, self.config.policy.timing().access_ttl, self.now());
    }

    pub(super) fn standing(&self, active: &Active<C>) -> Standing {
        self.revocations.standing(active.run, &active.key.id, &active.key.subject.name, active.as_of)
    }

    fn refused(&self, refusal: Refusal, refresh: &RefreshClaims) -> Admission<C> {
        self.config.events.of(EventKind::Refused(refusal), &refresh.session, &refresh.subject);
        Admission::Refuse(refusal)
    }
}
