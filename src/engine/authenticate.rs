//! Authenticates a request by its cookies or its bearer token. Both give an [`AuthOutcome`].

use std::{pin::Pin, sync::Arc};

use http::header;

use super::{
    AuthenticatedSession, Engine, FormerCookies, Renewal, VerifiedToken, conflicting_cookies::NoChoice,
};
use crate::{
    bearer::Bearer,
    claims::Claims,
    cookie::{CookieValue, only_line, scan},
    cross_site::{self, Renewable},
    event::EventKind,
    protocol::{AccessDecision, Refusal, SessionStatus, decide_access},
    rejection::RejectionKind,
    request::RequestHead,
    revocation::SessionError,
    time::{Reading, Timestamp},
    token::RefreshClaims,
};

/// What carries the tokens of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Cookies,
    Bearer,
}

/// The facts of a request that are not in its tokens.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) credential: Credential,
    pub(crate) arrived: Reading,
    /// See `PresentedToken::with_body`.
    pub(crate) with_body: bool,
    /// Whether it does not count as use of its session.
    pub(crate) passive: bool,
    /// Whether it has proven the key of the device that its session is bound to.
    pub(crate) proven: bool,
    /// The client's origin, if origins are compared. (Not the HTTP header `Origin`.)
    pub(crate) origin: Option<Arc<str>>,
}

/// The result of authentication.
pub(crate) enum AuthOutcome<C> {
    /// Authenticated. The response sets the cookies of the renewal, if there was one.
    Session {
        session: AuthenticatedSession<C>,
        /// The generation of the refresh token that renewed the session, or else of the access token.
        presented: u64,
        /// Boxed, so that a request without a renewal has less to move.
        renewal: Option<Box<Renewal<C>>>,
    },
    /// No valid session. An optional layer serves the request.
    Anonymous(Refusal),
    /// Rejected, also by an optional layer.
    Rejected(RejectionKind),
}

impl<C> From<Arc<VerifiedToken<C>>> for AuthOutcome<C> {
    fn from(token: Arc<VerifiedToken<C>>) -> Self {
        let presented = token.view.generation;
        Self::Session { session: token.into(), presented, renewal: None }
    }
}

/// The outcome, or a future that asks the store for it.
pub(crate) enum AuthStep<C> {
    Ready(AuthOutcome<C>),
    /// The store must be asked.
    AskStore(Pin<Box<dyn Future<Output = AuthOutcome<C>> + Send>>),
}

impl<C> AuthStep<C> {
    pub(super) fn ask_store(outcome: impl Future<Output = AuthOutcome<C>> + Send + 'static) -> Self {
        Self::AskStore(Box::pin(outcome))
    }

    pub(super) fn served(token: Arc<VerifiedToken<C>>) -> Self {
        Self::Ready(token.into())
    }

    pub(super) fn rejected(kind: RejectionKind) -> Self {
        Self::Ready(AuthOutcome::Rejected(kind))
    }
}

impl<C: Claims> Engine<C> {
    /// Authenticates a request without waiting, or returns a future that asks the store. `former` gets the cookies
    /// to remove from the client.
    pub(crate) fn authenticate(
        self: &Arc<Self>,
        head: &RequestHead<'_>,
        bearer: Bearer<'_>,
        context: &RequestContext,
        former: &mut FormerCookies,
    ) -> AuthStep<C> {
        self.start_followers();
        #[cfg(feature = "verify")]
        if let Some(only) = &self.config.verify_only {
            return self.authenticate_only(only, head, bearer, context);
        }
        if let Err(rejected) = self.check_loopback(head) {
            return AuthStep::rejected(rejected);
        }
        match bearer {
            Bearer::Malformed => AuthStep::rejected(RejectionKind::MalformedBearer),
            // No browser adds a bearer token by itself, so no check against cross-site requests is needed.
            Bearer::Token(token) => self.authenticate_bearer(token, context),
            Bearer::Absent => match self.check_cross_site(head) {
                Ok(()) => self.authenticate_cookies(head, context, former),
                Err(rejected) => AuthStep::rejected(rejected),
            },
        }
    }

    /// Rejects other hosts than localhost if cookies have no `Secure`.
    pub(crate) fn check_loopback(&self, head: &RequestHead<'_>) -> Result<(), RejectionKind> {
        match self.config.loopback_only && !cross_site::is_for_loopback(head.uri, head.headers) {
            true => Err(RejectionKind::NotLoopback),
            false => Ok(()),
        }
    }

    /// Rejects an unsafe request that comes neither from this origin nor from a trusted one (cross-site request forgery).
    pub(crate) fn check_cross_site(&self, head: &RequestHead<'_>) -> Result<(), RejectionKind> {
        let RequestHead { method, uri, headers, .. } = *head;
        if cross_site::is_allowed(method, uri, headers, &self.config.trusted_origins) {
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
    ) -> AuthStep<C> {
        let renewable = || cross_site::renewable(head.method, head.headers, &self.config.trusted_origins);
        let lines = head.headers.get_all(header::COOKIE);
        let only_line = only_line(&lines);
        if let Some(token) = only_line.and_then(|line| self.tokens.recent(Credential::Cookies, line)) {
            let refresh = || scan(lines.iter(), &self.config.cookies).1;
            return self.authenticate_token(Some(token), refresh, renewable, context);
        }
        let (mut access, mut refresh) = scan(lines.iter(), &self.config.cookies);
        if access == CookieValue::Conflict || refresh == CookieValue::Conflict {
            self.config.events.note(EventKind::ConflictingCookies);
            *former = FormerCookies::of(&self.config.cookies);
            match self.choose_values(head.headers, (access, refresh), context.arrived) {
                Ok(chosen) => (access, refresh) = chosen,
                Err(NoChoice::Outcome(outcome)) => return AuthStep::Ready(outcome),
                Err(NoChoice::AskStore(found)) => {
                    return AuthStep::ask_store(self.clone().serve_live_session(
                        found,
                        renewable(),
                        context.clone(),
                    ));
                }
            }
            return self.authenticate_values(access, refresh, renewable, context);
        }
        let token = self.verify_cookie(access);
        if let (Some(line), CookieValue::Value(access), Some(_)) = (only_line, access, &token) {
            self.tokens.note_recent(Credential::Cookies, line, access);
        }
        self.authenticate_token(token, || refresh, renewable, context)
    }

    /// Authenticates by at most one value of each cookie.
    pub(super) fn authenticate_values(
        self: &Arc<Self>,
        access: CookieValue<'_>,
        refresh: CookieValue<'_>,
        renewable: impl Fn() -> Renewable,
        context: &RequestContext,
    ) -> AuthStep<C> {
        self.authenticate_token(self.verify_cookie(access), || refresh, renewable, context)
    }

    fn verify_cookie(self: &Arc<Self>, access: CookieValue<'_>) -> Option<Arc<VerifiedToken<C>>> {
        match access {
            CookieValue::Value(token) => self.verify(token).ok(),
            CookieValue::Absent | CookieValue::Conflict => None,
        }
    }

    /// Authenticates by an access token whose signature is valid, if there is one, or else by the refresh cookie.
    #[inline]
    fn authenticate_token<'r>(
        self: &Arc<Self>,
        token: Option<Arc<VerifiedToken<C>>>,
        refresh: impl Fn() -> CookieValue<'r>,
        renewable: impl Fn() -> Renewable,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let RequestContext { arrived, with_body, passive, .. } = *context;
        // The denylist may be incomplete, so the store must be asked.
        let must_ask_store = !self.revocation.knows_revocations(arrived)
            || token.as_deref().is_some_and(|token| self.revocation_may_be_forgotten(token, arrived));
        let known_status = token.as_deref().filter(|_| !must_ask_store).map(|token| self.status(token));
        let status = known_status.unwrap_or(SessionStatus::Valid);
        let times = token.as_deref().map(|token| token.view.times());
        let decision = decide_access(&self.config.policy, times.as_ref(), status, arrived.wall);
        let token = match (decision, token) {
            (AccessDecision::Accept | AccessDecision::AcceptOrRenew, Some(token)) => token,
            (_, Some(token)) if self.needs_look_up(&token, known_status, arrived.wall) => {
                return self.look_up_bound(token, refresh(), renewable(), context);
            }
            (_, token) => return self.renew_by_cookie(refresh(), renewable(), token, known_status, context),
        };
        if must_ask_store {
            let refresh = self.read_refresh(refresh(), arrived.wall).ok();
            let refresh = refresh.filter(|_| renewable() == Renewable::Yes);
            return AuthStep::ask_store(self.clone().check_or_renew(token, refresh, context.clone()));
        }
        // A passive request does not count as use, so it confirms nothing and renews nothing early.
        if passive {
            return AuthStep::served(token);
        }
        self.confirm_once(&token, with_body, arrived.wall);
        match decision {
            AccessDecision::AcceptOrRenew => self.renew_early(token, refresh(), renewable(), context),
            _ => AuthStep::served(token),
        }
    }

    /// Renews by the refresh cookie, since the access token cannot be used. `token` is the access token, if its
    /// signature is valid.
    fn renew_by_cookie(
        self: &Arc<Self>,
        refresh: CookieValue<'_>,
        renewable: Renewable,
        token: Option<Arc<VerifiedToken<C>>>,
        known_status: Option<SessionStatus>,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let now = context.arrived.wall;
        let refresh = match self.read_refresh(refresh, now) {
            Ok(refresh) => refresh,
            Err(SessionError::Unavailable) => return AuthStep::rejected(RejectionKind::Unavailable),
            Err(SessionError::Refused(refusal)) => {
                return AuthStep::Ready(AuthOutcome::Anonymous(refusal));
            }
        };
        match renewable {
            Renewable::Yes => {}
            Renewable::NotYet => return AuthStep::rejected(RejectionKind::NotNow),
            Renewable::CrossSite => {
                let event = EventKind::Refused(Refusal::CrossSite);
                self.config.events.of(event, &refresh.session, &refresh.subject);
                return AuthStep::Ready(AuthOutcome::Anonymous(Refusal::CrossSite));
            }
        }
        let token = token.filter(|token| token.view.key.id == refresh.session);
        // An expired access token confirms its generation, too.
        if let Some(token) = token.as_ref().filter(|_| !context.passive)
            && matches!(known_status, None | Some(SessionStatus::Valid | SessionStatus::Stale))
        {
            self.confirm_once(token, context.with_body, now);
        }
        let fallback = token.filter(|token| self.may_ride_through(token, known_status, now));
        AuthStep::ask_store(self.clone().renew_with_fallback(refresh, fallback, context.clone()))
    }

    /// Renews before the access token expires. If that is not possible now, `token` serves the request.
    fn renew_early(
        self: &Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: CookieValue<'_>,
        renewable: Renewable,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let now = context.arrived;
        // A bound session is renewed by the browser's proof.
        let is_bound = token.view.device.is_some();
        if is_bound || self.backend.early_renewal_is_paused(now.monotonic) || renewable != Renewable::Yes {
            return AuthStep::served(token);
        }
        match self.read_refresh(refresh, now.wall) {
            Ok(refresh) if refresh.session == token.view.key.id => {
                AuthStep::ask_store(self.clone().renew_with_fallback(refresh, Some(token), context.clone()))
            }
            _ => AuthStep::served(token),
        }
    }

    /// Asks the store whether the access token can be used, since this instance cannot know. If it cannot be used, the
    /// refresh token decides. (That may be one of another session.)
    pub(super) async fn check_or_renew(
        self: Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: Option<RefreshClaims>,
        context: RequestContext,
    ) -> AuthOutcome<C> {
        let checked = match token.is_bound() {
            false => self.check_with_store(&token).await.map(|()| token.clone().into()),
            true => self.look_up_compared(&token, &context).await,
        };
        match (checked, refresh) {
            (Ok(session), _) => {
                if !context.passive {
                    self.confirm_once(&token, context.with_body, self.now());
                }
                AuthOutcome::Session { session, presented: token.view.generation, renewal: None }
            }
            (Err(SessionError::Unavailable), _) => AuthOutcome::Rejected(RejectionKind::Unavailable),
            (Err(SessionError::Refused(_)), Some(refresh)) => {
                self.renew_with_fallback(refresh, None, context).await
            }
            (Err(SessionError::Refused(refusal)), None) => AuthOutcome::Anonymous(refusal),
        }
    }

    /// Returns an error if the session is not live, or if its claims changed after the token was issued.
    async fn check_with_store(&self, token: &VerifiedToken<C>) -> Result<(), SessionError> {
        let (view, asked_at) = (&token.view, self.revocation.monotonic());
        let record = self.read_live(&view.key, view.run, self.now()).await?;
        self.revocation.denylist.check(&view.key.id, view.run)?;
        // With a feed, `mark_stale` does not set `stale_since`. A change of the session's claims sets it in any case.
        let changed = record.stale_since.is_some_and(|since| view.issued.as_secs() <= since.as_secs());
        if changed || self.status(token) == SessionStatus::Stale {
            return Err(Refusal::StaleClaims.into());
        }
        token.note_not_revoked(asked_at);
        Ok(())
    }

    /// Renews the session. `fallback` serves the request if that is not possible now.
    async fn renew_with_fallback(
        self: Arc<Self>,
        refresh: RefreshClaims,
        fallback: Option<Arc<VerifiedToken<C>>>,
        context: RequestContext,
    ) -> AuthOutcome<C> {
        match (self.renew_shared(refresh, &context).await, fallback) {
            (Ok(renewal), _) => AuthOutcome::Session {
                session: renewal.session.clone(),
                presented: renewal.presented,
                // New cookies would let passive requests keep the session alive.
                renewal: (!context.passive).then(|| Box::new(renewal)),
            },
            (Err(SessionError::Unavailable), Some(token)) if self.status(&token) == SessionStatus::Valid => {
                token.into()
            }
            // The access token is still valid. A late refresh token does not invalidate the session.
            (Err(SessionError::Refused(Refusal::LateBody)), Some(token))
                if self.now() < token.view.expires =>
            {
                token.into()
            }
            (Err(SessionError::Unavailable), _) => AuthOutcome::Rejected(RejectionKind::Unavailable),
            (Err(SessionError::Refused(Refusal::DeviceProofRequired)), _) if self.takes_proofs() => {
                AuthOutcome::Rejected(RejectionKind::DeviceProofRequired)
            }
            (Err(SessionError::Refused(refusal)), _) => AuthOutcome::Anonymous(refusal),
        }
    }

    /// Verifies the refresh cookie. Reports an invalid or expired token, but not a missing one.
    pub(super) fn read_refresh(
        &self,
        cookie: CookieValue<'_>,
        now: Timestamp,
    ) -> Result<RefreshClaims, SessionError> {
        match cookie {
            CookieValue::Absent => Err(Refusal::NoToken.into()),
            CookieValue::Conflict => Err(Refusal::BadToken.into()),
            CookieValue::Value(token) => self.verify_refresh(token, now),
        }
    }
}
