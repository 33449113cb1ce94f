//! Authentication: what the credentials of a request are worth. Cookies and bearer tokens end in one
//! [`Outcome`].

use std::{pin::Pin, sync::Arc, time::Duration};

use super::{Authenticated, Engine, FormerCookies, Renewal, VerifiedToken};
use crate::{
    bearer::Bearer,
    claims::Claims,
    cookie::{CookieValue, scan},
    cross_site::{self, Renewable},
    event::EventKind,
    protocol::{Assessment, Refusal, Standing, assess},
    rejection::RejectionKind,
    request::RequestHead,
    revocation::SessionError,
    time::{Reading, Timestamp},
    token::{InvalidToken, LONGEST_TOKEN, RefreshClaims},
};

/// What carries the tokens of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Cookies,
    Bearer,
}

/// What matters of a request beyond its tokens.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) credential: Credential,
    pub(crate) arrived: Reading,
    /// See `Presented::with_body`.
    pub(crate) with_body: bool,
    /// Whether it must not keep its session alive.
    pub(crate) passive: bool,
    /// Where it comes from, if that is compared.
    pub(crate) origin: Option<Arc<str>>,
}

/// How a request goes on.
pub(crate) enum Outcome<C> {
    /// With a session. The response carries the cookies of the renewal, if there was one.
    Session {
        session: Authenticated<C>,
        /// The generation that the request presented.
        presented: u64,
        /// Boxed, so that a request without one has less to move.
        renewal: Option<Box<Renewal<C>>>,
    },
    /// Without a session.
    Anonymous(Refusal),
    /// Not at all.
    Rejected(RejectionKind),
}

impl<C> From<Arc<VerifiedToken<C>>> for Outcome<C> {
    fn from(token: Arc<VerifiedToken<C>>) -> Self {
        let presented = token.said.generation;
        Self::Session { session: token.into(), presented, renewal: None }
    }
}

/// Whether the outcome is known yet.
pub(crate) enum Decision<C> {
    Ready(Outcome<C>),
    /// The store must be asked.
    AskStore(Pin<Box<dyn Future<Output = Outcome<C>> + Send>>),
}

impl<C> Decision<C> {
    pub(super) fn ask(outcome: impl Future<Output = Outcome<C>> + Send + 'static) -> Self {
        Self::AskStore(Box::pin(outcome))
    }

    pub(super) fn served(token: Arc<VerifiedToken<C>>) -> Self {
        Self::Ready(token.into())
    }

    pub(super) fn rejected(kind: RejectionKind) -> Self {
        Self::Ready(Outcome::Rejected(kind))
    }
}

impl<C: Claims> Engine<C> {
    /// Decides by the request's credentials alone. `former` gets the cookies to remove from the client.
    pub(crate) fn authenticate(
        self: &Arc<Self>,
        head: &RequestHead<'_>,
        bearer: Bearer<'_>,
        context: &RequestContext,
        former: &mut FormerCookies,
    ) -> Decision<C> {
        self.revocation.start();
        if let Err(rejected) = self.check_loopback(head) {
            return Decision::rejected(rejected);
        }
        match bearer {
            Bearer::Malformed => Decision::rejected(RejectionKind::MalformedBearer),
            // No browser adds a bearer token by itself, so no check against cross-site requests is needed.
            Bearer::Token(token) => self.authenticate_bearer(token, context),
            Bearer::Absent => match self.check_cross_site(head) {
                Ok(()) => self.authenticate_cookies(head, context, former),
                Err(rejected) => Decision::rejected(rejected),
            },
        }
    }

    /// Cookies without `Secure` are for localhost only.
    pub(crate) fn check_loopback(&self, head: &RequestHead<'_>) -> Result<(), RejectionKind> {
        match self.config.loopback_only && !cross_site::is_for_loopback(head.uri, head.headers) {
            true => Err(RejectionKind::NotLoopback),
            false => Ok(()),
        }
    }

    /// Cross-site request forgery: an unsafe request must come from this site, or a trusted one.
    pub(crate) fn check_cross_site(&self, head: &RequestHead<'_>) -> Result<(), RejectionKind> {
        let RequestHead { method, uri, headers, .. } = *head;
        if cross_site::is_allowed(method, uri, headers, &self.config.trusted) {
            return Ok(());
        }
        let why = cross_site::describe(method, uri, headers);
        self.config.events.note_with(EventKind::CrossSiteRefused, why);
        Err(RejectionKind::CrossSite)
    }

    fn authenticate_cookies(
        self: &Arc<Self>,
        head: &RequestHead<'_>,
        context: &RequestContext,
        former: &mut FormerCookies,
    ) -> Decision<C> {
        let RequestContext { arrived, with_body, passive, .. } = *context;
        let (mut access, mut refresh) = scan(head.headers, &self.config.cookies);
        if access == CookieValue::Conflict || refresh == CookieValue::Conflict {
            self.config.events.note(EventKind::ConflictingCookies);
            *former = FormerCookies::of(&self.config.cookies);
            (access, refresh) = match self.of_one_session(head.headers, (access, refresh), arrived.wall) {
                Ok(chosen) => chosen,
                Err(outcome) => return Decision::Ready(outcome),
            };
        }
        let token = match access {
            CookieValue::Value(token) => self.verify(token).ok(),
            CookieValue::Absent | CookieValue::Conflict => None,
        };
        // Whether only the store knows if the session is revoked.
        let blind = !self.revocation.knows_revocations(arrived)
            || token.as_deref().is_some_and(|token| self.is_doubtful(token, arrived));
        let standing = match &token {
            Some(token) if !blind => self.standing(token),
            _ => Standing::Good,
        };
        let renewable = || cross_site::renewable(head.method, head.headers, &self.config.trusted);
        let facts = token.as_deref().map(|token| token.said.facts());
        match (assess(&self.config.policy, facts.as_ref(), standing, arrived.wall), token) {
            (Assessment::Admit | Assessment::AdmitOrRenew, Some(token)) if blind => {
                let refresh = self.read_refresh(refresh).ok().filter(|_| renewable() == Renewable::Yes);
                Decision::ask(self.clone().check_or_renew(token, refresh, context.clone()))
            }
            // A passive request does not count as use, so it confirms nothing and renews nothing early.
            (Assessment::Admit | Assessment::AdmitOrRenew, Some(token)) if passive => Decision::served(token),
            (Assessment::Admit, Some(token)) => {
                self.confirm_once(&token, with_body, arrived.wall);
                Decision::served(token)
            }
            (Assessment::AdmitOrRenew, Some(token)) => {
                self.confirm_once(&token, with_body, arrived.wall);
                self.renew_early(token, refresh, renewable(), context)
            }
            (_, token) => {
                let known = if blind { None } else { Some(standing) };
                self.renew_or_refuse(refresh, renewable(), token, known, context)
            }
        }
    }

    /// The access token cannot be used. The refresh token decides.
    fn renew_or_refuse(
        self: &Arc<Self>,
        refresh: CookieValue<'_>,
        renewable: Renewable,
        token: Option<Arc<VerifiedToken<C>>>,
        standing: Option<Standing>,
        context: &RequestContext,
    ) -> Decision<C> {
        let now = context.arrived.wall;
        let refresh = match self.read_refresh(refresh) {
            Ok(refresh) => refresh,
            Err(outcome) => return Decision::Ready(outcome),
        };
        match renewable {
            _ if now >= refresh.limit => return self.refuse(Refusal::Expired, &refresh),
            Renewable::Yes => {}
            Renewable::NotYet => return Decision::rejected(RejectionKind::NotNow),
            Renewable::CrossSite => return self.refuse(Refusal::CrossSite, &refresh),
        }
        let token = token.filter(|token| token.said.key.id == refresh.session);
        // An expired access token confirms its generation, too.
        if let Some(token) = token.as_ref().filter(|_| !context.passive)
            && matches!(standing.unwrap_or(Standing::Good), Standing::Good | Standing::Stale)
        {
            self.confirm_once(token, context.with_body, now);
        }
        let fallback = token.filter(|token| self.may_ride_through(token, standing, now));
        Decision::ask(self.clone().renew_or(refresh, fallback, context.clone()))
    }

    /// The access token expires soon. If it cannot be renewed now, the request goes on with it.
    fn renew_early(
        self: &Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: CookieValue<'_>,
        renewable: Renewable,
        context: &RequestContext,
    ) -> Decision<C> {
        let now = context.arrived;
        if self.backend.early_renewal_is_paused(now.monotonic) || renewable != Renewable::Yes {
            return Decision::served(token);
        }
        match self.read_refresh(refresh) {
            Ok(refresh) if refresh.session == token.said.key.id && now.wall < refresh.limit => {
                Decision::ask(self.clone().renew_or(refresh, Some(token), context.clone()))
            }
            _ => Decision::served(token),
        }
    }

    /// Whether an expired access token may be used during an outage of the store, as the builder was told.
    fn may_ride_through(&self, token: &VerifiedToken<C>, standing: Option<Standing>, now: Timestamp) -> bool {
        let time = self.config.ride_through;
        time > Duration::ZERO
            && standing == Some(Standing::Good)
            && token.said.issued <= now
            && now < token.said.expires + time
    }

    /// Asks the store whether the session is revoked, since this instance cannot know.
    async fn check_or_renew(
        self: Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: Option<RefreshClaims>,
        context: RequestContext,
    ) -> Outcome<C> {
        match (self.check(&token).await, refresh) {
            (Ok(()), _) => {
                if !context.passive {
                    self.confirm_once(&token, context.with_body, self.now());
                }
                token.into()
            }
            (Err(SessionError::Unavailable), _) => Outcome::Rejected(RejectionKind::Unavailable),
            // The refresh token decides, which may be of another session.
            (Err(SessionError::Refused(_)), Some(refresh)) => self.renew_or(refresh, None, context).await,
            (Err(SessionError::Refused(refusal)), None) => Outcome::Anonymous(refusal),
        }
    }

    async fn check(&self, token: &VerifiedToken<C>) -> Result<(), SessionError> {
        let (said, asked_at) = (&token.said, self.revocation.monotonic());
        let record = self.read_live(&said.key, said.run, self.now()).await?;
        self.revocation.denylist.check(&said.key.id, said.run)?;
        // A store with a feed keeps no mark in the record.
        let changed = record.stale_since.is_some_and(|since| said.issued.as_secs() <= since.as_secs());
        if changed || self.standing(token) == Standing::Stale {
            return Err(Refusal::StaleClaims.into());
        }
        token.vouch(asked_at);
        Ok(())
    }

    /// Renews the session. `fallback` serves the request if that is not possible now.
    async fn renew_or(
        self: Arc<Self>,
        refresh: RefreshClaims,
        fallback: Option<Arc<VerifiedToken<C>>>,
        context: RequestContext,
    ) -> Outcome<C> {
        match (self.renew(refresh, &context).await, fallback) {
            (Ok(renewal), _) => Outcome::Session {
                session: renewal.session.clone(),
                presented: renewal.presented,
                // Fresh cookies would let a passive request keep its session alive.
                renewal: (!context.passive).then(|| Box::new(renewal)),
            },
            (Err(SessionError::Unavailable), Some(token)) if self.standing(&token) == Standing::Good => {
                token.into()
            }
            // The access token is still valid, and this says nothing against its session.
            (Err(SessionError::Refused(Refusal::LateBody)), Some(token))
                if self.now() < token.said.expires =>
            {
                token.into()
            }
            (Err(SessionError::Unavailable), _) => Outcome::Rejected(RejectionKind::Unavailable),
            (Err(SessionError::Refused(refusal)), _) => Outcome::Anonymous(refusal),
        }
    }

    /// Verifies an access token, at its first use.
    pub(super) fn verify(self: &Arc<Self>, token: &[u8]) -> Result<Arc<VerifiedToken<C>>, InvalidToken> {
        // Before it is hashed.
        if token.len() > LONGEST_TOKEN {
            self.config.events.note(EventKind::AccessTokenInvalid(InvalidToken::TooLong));
            return Err(InvalidToken::TooLong);
        }
        if let Some(verified) = self.tokens.get(token) {
            return Ok(verified);
        }
        let codec = self.tokens.codec();
        let claims = codec
            .verify_access(token)
            .inspect_err(|invalid| self.config.events.note(EventKind::AccessTokenInvalid(*invalid)))?;
        let verified = Arc::new(VerifiedToken::new(self.clone(), claims));
        self.revocation.note_time(verified.said.issued);
        self.tokens.keep(&codec, token, verified.clone());
        Ok(verified)
    }

    /// Verifies the refresh cookie.
    fn read_refresh(&self, cookie: CookieValue<'_>) -> Result<RefreshClaims, Outcome<C>> {
        match cookie {
            CookieValue::Absent => Err(Outcome::Anonymous(Refusal::NoToken)),
            CookieValue::Conflict => Err(Outcome::Anonymous(Refusal::BadToken)),
            CookieValue::Value(token) => self.tokens.codec().verify_refresh(token).map_err(|invalid| {
                self.config.events.note(EventKind::RefreshTokenInvalid(invalid));
                match invalid {
                    // Another instance has the key.
                    InvalidToken::NewKey => Outcome::Rejected(RejectionKind::Unavailable),
                    _ => Outcome::Anonymous(Refusal::BadToken),
                }
            }),
        }
    }

    pub(super) fn is_doubtful(&self, token: &VerifiedToken<C>, now: Reading) -> bool {
        self.revocation.is_doubtful(token.said.issued, token.vouched_at(), now)
    }

    fn standing(&self, token: &VerifiedToken<C>) -> Standing {
        self.standing_of(&token.said)
    }

    fn refuse(&self, refusal: Refusal, refresh: &RefreshClaims) -> Decision<C> {
        self.config.events.of(EventKind::Refused(refusal), &refresh.session, &refresh.subject);
        Decision::Ready(Outcome::Anonymous(refusal))
    }
}
