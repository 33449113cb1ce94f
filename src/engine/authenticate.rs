//! Authenticates a request by its cookies or its bearer token. Both give an [`AuthOutcome`].

use std::{pin::Pin, sync::Arc};

use http::header;

use super::{
    AuthenticatedSession, Engine, FormerCookieRemovals, Renewal, SessionView, VerifiedToken,
    conflicting_cookies::NoChoice,
};
use crate::{
    backend::Write,
    bearer::Bearer,
    claims::Claims,
    cookie::{CookieValue, scan},
    cross_site::{self, RenewalPermission},
    device_binding::DeviceBinding,
    event::EventKind,
    protocol::{AccessDecision, Refusal, SessionStatus, decide_access},
    rejection::RejectionKind,
    request::RequestHead,
    store::SessionRecord,
    time::{Reading, Timestamp},
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
    /// When the request arrived.
    pub(crate) arrived: Reading,
    /// Whether the request has a body: see `PresentedToken::with_body`.
    pub(crate) with_body: bool,
    /// A passive request does not count as use of its session.
    pub(crate) passive: bool,
    /// Whether the request has proven the key of the device that its session is bound to.
    pub(crate) proven: bool,
    /// The client's origin, if origins are compared. This is not the HTTP header `Origin`.
    pub(crate) origin: Option<Arc<str>>,
}

/// The result of authentication.
pub(crate) enum AuthOutcome<C> {
    /// The request has a valid session.
    Session {
        session: AuthenticatedSession<C>,
        /// The generation that the request presented: of the refresh token that renewed the session, or else of the
        /// access token.
        presented: u64,
        /// The response sets the cookies of this renewal. Boxed, so that less is moved for a request without a renewal.
        renewal: Option<Box<Renewal<C>>>,
    },
    /// The request has no valid session. A layer that requires a session rejects the request. A layer that is optional
    /// serves it without a session.
    Anonymous(Refusal),
    /// Each layer rejects the request, even an optional one. Exception: for `DeviceProofRequired`,
    /// `middleware::unproven` may decide that an optional layer serves the request without a session.
    Rejected(RejectionKind),
}

impl<C> From<Arc<VerifiedToken<C>>> for AuthOutcome<C> {
    fn from(token: Arc<VerifiedToken<C>>) -> Self {
        let presented = token.view.generation;
        Self::Session { session: token.into(), presented, renewal: None }
    }
}

/// The outcome, or a future that gives the outcome later. It waits for the store. In a layer that only verifies, it may
/// also wait for the issuer's public keys.
pub(crate) enum AuthStep<C> {
    Ready(AuthOutcome<C>),
    Pending(PendingOutcome<C>),
}

/// See [`AuthStep::Pending`].
pub(crate) type PendingOutcome<C> = Pin<Box<dyn Future<Output = AuthOutcome<C>> + Send>>;

impl<C> AuthStep<C> {
    pub(super) fn pending(outcome: impl Future<Output = AuthOutcome<C>> + Send + 'static) -> Self {
        Self::Pending(Box::pin(outcome))
    }

    pub(super) fn rejected(kind: RejectionKind) -> Self {
        Self::Ready(AuthOutcome::Rejected(kind))
    }
}

impl<C: Claims> Engine<C> {
    /// Authenticates a request without waiting, or returns a future that waits. `removals` gets
    /// `Set-Cookie` headers if the response must delete cookies that the application set with other names, paths or
    /// domains before.
    pub(crate) fn authenticate(
        self: &Arc<Self>,
        head: &RequestHead<'_>,
        bearer: Bearer<'_>,
        context: &RequestContext,
        removals: &mut FormerCookieRemovals,
    ) -> AuthStep<C> {
        self.start_followers();
        #[cfg(feature = "verify")]
        if let Some(settings) = &self.config.verify_only {
            return self.authenticate_verify_only(settings, head, bearer, context);
        }
        if let Err(rejected) = self.check_loopback(head) {
            return AuthStep::rejected(rejected);
        }
        match bearer {
            Bearer::Malformed => AuthStep::rejected(RejectionKind::MalformedBearer),
            // No browser adds a bearer token by itself, so no check against cross-site requests is needed.
            Bearer::Token(token) => self.authenticate_bearer(token, context),
            Bearer::Absent => match self.check_cross_site(head) {
                Ok(()) => self.authenticate_cookies(head, context, removals),
                Err(rejected) => AuthStep::rejected(rejected),
            },
        }
    }

    /// Starts to follow the store's feed, and the key file if there is one. The feed has revocations, stale marks and
    /// new run IDs. A stale mark makes the older access tokens of a session or user stale. Each request calls this
    /// function, because the runtime that followed the feed and the file may have stopped.
    #[inline]
    pub(crate) fn start_followers(&self) {
        self.revocation.start();
        self.follow_key_file();
    }

    /// Rejects a request for another host than localhost, if the cookies have no `Secure`.
    pub(crate) fn check_loopback(&self, head: &RequestHead<'_>) -> Result<(), RejectionKind> {
        match self.config.loopback_only && !cross_site::is_for_loopback(head.uri, head.headers) {
            true => Err(RejectionKind::NotLoopback),
            false => Ok(()),
        }
    }

    /// Rejects an unsafe request that comes neither from this origin nor from a trusted one (cross-site request
    /// forgery).
    pub(crate) fn check_cross_site(&self, head: &RequestHead<'_>) -> Result<(), RejectionKind> {
        let RequestHead { method, uri, headers, .. } = *head;
        if cross_site::is_allowed(method, uri, headers, &self.config.trusted_origins) {
            return Ok(());
        }
        let cause = cross_site::describe(method, uri, headers);
        self.config.events.note_with(EventKind::CrossSiteRefused, cause);
        Err(RejectionKind::CrossSite)
    }

    fn authenticate_cookies(
        self: &Arc<Self>,
        head: &RequestHead<'_>,
        context: &RequestContext,
        removals: &mut FormerCookieRemovals,
    ) -> AuthStep<C> {
        let permission =
            || cross_site::renewal_permission(head.method, head.headers, &self.config.trusted_origins);
        let lines = head.headers.get_all(header::COOKIE);
        let mut first_two = lines.iter();
        let only_line = match (first_two.next(), first_two.next()) {
            (Some(line), None) => Some(line.as_bytes()),
            _ => None,
        };
        // Most requests carry the same single `Cookie` header as an earlier request on this thread.
        let recent = only_line.map(|line| (line, self.tokens.recent(Credential::Cookies, line)));
        if let Some((_, Ok(token))) = recent {
            let refresh = || scan(lines.iter(), &self.config.cookies).1;
            return self.authenticate_token(Some(token), refresh, permission, context);
        }
        let (mut access, mut refresh) = scan(lines.iter(), &self.config.cookies);
        if access == CookieValue::Conflict || refresh == CookieValue::Conflict {
            self.config.events.note(EventKind::ConflictingCookies);
            *removals = FormerCookieRemovals::of(&self.config.cookies);
            match self.choose_values(head.headers, (access, refresh), context.arrived) {
                Ok(chosen) => (access, refresh) = chosen,
                Err(NoChoice::Outcome(outcome)) => return AuthStep::Ready(outcome),
                Err(NoChoice::AskStore(candidates)) => {
                    let engine = self.clone();
                    let served = engine.serve_live_session(candidates, permission(), context.clone());
                    return AuthStep::pending(served);
                }
            }
            return self.authenticate_values(access, refresh, permission, context);
        }
        let token = self.verify_cookie(access);
        if let (Some((line, Err(miss))), CookieValue::Value(access), Some(_)) = (recent, access, &token) {
            self.tokens.keep_recent(Credential::Cookies, line, access, miss);
        }
        self.authenticate_token(token, || refresh, permission, context)
    }

    /// Authenticates by at most one value of each cookie.
    pub(super) fn authenticate_values(
        self: &Arc<Self>,
        access: CookieValue<'_>,
        refresh: CookieValue<'_>,
        permission: impl Fn() -> RenewalPermission,
        context: &RequestContext,
    ) -> AuthStep<C> {
        self.authenticate_token(self.verify_cookie(access), || refresh, permission, context)
    }

    /// Authenticates by the access token, if it can be used now, or else by the refresh cookie. `token` is the access
    /// token, if its signature is valid. It may have expired.
    #[inline]
    fn authenticate_token<'r>(
        self: &Arc<Self>,
        token: Option<Arc<VerifiedToken<C>>>,
        refresh: impl Fn() -> CookieValue<'r>,
        permission: impl Fn() -> RenewalPermission,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let arrived = context.arrived;
        // If the denylist may be incomplete, only the store knows whether the session is revoked.
        let must_ask_store = !self.revocation.knows_revocations(arrived)
            || token.as_deref().is_some_and(|token| self.revocation_may_be_forgotten(token, arrived));
        let known_status = token.as_deref().filter(|_| !must_ask_store).map(|token| self.status(token));
        // If the status is unknown, only the times are judged here, and the store is asked below.
        let status = known_status.unwrap_or(SessionStatus::Valid);
        let times = token.as_deref().map(|token| token.view.times());
        let decision = decide_access(&self.config.policy, times.as_ref(), status, arrived.wall);
        let token = match (decision, token) {
            (AccessDecision::Accept | AccessDecision::AcceptOrRenew, Some(token)) => token,
            // A bound session cannot be renewed without a proof. So if its claims are stale, or it has another run ID,
            // ask the store about the token instead.
            (_, Some(token))
                if token.is_bound() && self.may_be_usable(&token, known_status, arrived.wall) =>
            {
                return self.look_up_bound(token, refresh(), permission(), context);
            }
            (_, token) => return self.renew_by_cookie(refresh(), permission(), token, known_status, context),
        };
        if must_ask_store {
            let refresh = self.read_refresh(refresh(), arrived.wall).ok();
            let refresh = refresh.filter(|_| permission() == RenewalPermission::Granted);
            return AuthStep::pending(self.clone().check_or_renew(token, refresh, context.clone()));
        }
        self.confirm_or_note_use(&token, context, arrived.wall);
        match decision {
            AccessDecision::AcceptOrRenew if !context.passive => {
                self.renew_early(token, refresh(), permission(), context)
            }
            _ => AuthStep::Ready(token.into()),
        }
    }

    /// The status of the session of an access token. The denylist is searched only if it has changed since the session
    /// was last found valid.
    pub(super) fn status(&self, token: &VerifiedToken<C>) -> SessionStatus {
        let version = self.revocation.denylist.version();
        if token.was_valid_in(version) {
            return SessionStatus::Valid;
        }
        let status = self.status_of(&token.view);
        if status == SessionStatus::Valid {
            token.note_valid_in(version);
        }
        status
    }

    /// The status of a session now. It is `Stale` if the claims changed after `view.read_at`.
    pub(crate) fn status_of(&self, view: &SessionView<C>) -> SessionStatus {
        let (key, run) = (&view.key, view.run);
        // A service token (a token for another service) may name no session. Then the token contains no run ID, and
        // `view.run` was computed from its `iat`. So `view.run` is an upper limit: when the token was minted, the store
        // had this run ID or an older one.
        #[cfg(feature = "verify")]
        let run = if view.service.as_ref().is_some_and(|service| !service.has_session) {
            self.revocation.denylist.run_id_to_judge_by(run)
        } else {
            run
        };
        self.revocation.denylist.status(run, &key.id, &key.subject.name, view.read_at)
    }

    /// Whether the denylist may have forgotten that the session of a token was revoked.
    pub(super) fn revocation_may_be_forgotten(&self, token: &VerifiedToken<C>, now: Reading) -> bool {
        self.revocation.is_doubtful(token.view.issued, token.not_revoked_at(), now)
    }

    /// Confirms the generation of an access token that a request carries, if the token is old enough. A token of a
    /// bound session confirms nothing: for such a token, [`note_use`](Self::note_use) writes the use of the session.
    /// For a passive request, nothing is written.
    ///
    /// The confirmation is written once for each generation. It is written in the background, because a lost
    /// confirmation does little harm: reuse is then detected later. The record keeps the rotation settings of the
    /// sign-in, which may differ from this instance's settings. This instance's settings decide whether to try the
    /// write. The record's settings decide whether it applies. If the write fails, a later request with the same token
    /// tries again. If the record's settings refuse the confirmation, a later request with a newer token tries again.
    pub(super) fn confirm_or_note_use(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
        context: &RequestContext,
        now: Timestamp,
    ) {
        if context.passive {
            return;
        }
        if token.is_bound() {
            return self.note_use(token, now);
        }
        let generation = token.view.generation;
        if generation == 0 || now < token.confirms_from || token.nothing_to_write() {
            return;
        }
        let (timing, issued, with_body) =
            (self.config.policy.rotation_timing(), token.latest_issue_time(), context.with_body);
        let session = token.view.key.id;
        if !timing.confirms_by_access(issued, with_body, now)
            || !token.begin_write()
            || !self.backend.confirmed.note_if_higher(session, generation)
        {
            return;
        }
        let (engine, token) = (self.clone(), token.clone());
        self.backend.write_behind(session, Write::Confirm(generation), async move {
            // The session may have been bound after this token was issued. Then only a renewal with a proof confirms a
            // generation, because an access token may be a copy.
            let confirm = |record: &mut SessionRecord| {
                DeviceBinding::of(record).is_none_or(|binding| !binding.state().confirmed)
                    && record.family.timing.confirms_by_access(issued, with_body, now)
                    && record.family.confirm(generation, now)
            };
            match engine.compare_and_set("confirm", &token.view.key, None, None, confirm).await {
                Ok(written) => {
                    let family = written.record.map(|record| record.family);
                    // The confirmation was too early by the record's settings, or the session was bound meanwhile. A
                    // later token tries again.
                    if family.is_some_and(|it| it.generation == generation && it.confirmed_at.is_none()) {
                        engine.backend.confirmed.forget(&session);
                    }
                }
                Err(_) => {
                    engine.backend.confirmed.forget(&session);
                    token.retry_write();
                }
            }
        });
    }
}
