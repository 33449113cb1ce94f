//! A layer that only verifies: it renews nothing, sets no cookies, and its keys may come from the issuer's address.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{AuthOutcome, AuthStep, Engine, RequestContext, SessionView};
use http::header;

use crate::{
    bearer::Bearer,
    claims::Claims,
    cookie::{CookieValue, scan},
    event::EventKind,
    protocol::Refusal,
    rejection::RejectionKind,
    request::RequestHead,
    revocation::SessionError,
};

/// The settings of a layer that only verifies.
#[derive(Debug)]
pub(crate) struct VerifyOnly {
    /// Whether the access cookie is accepted.
    pub(crate) cookies: bool,
    /// Where the keys come from, if they are not fixed.
    pub(crate) source: Option<Arc<dyn KeySource>>,
}

/// Where public keys come from.
pub(crate) trait KeySource: fmt::Debug + Send + Sync {
    /// Starts to fetch the keys in the background, if that is due. `now` is a reading of the monotonic clock.
    fn refresh_if_due(&self, now: Duration);

    /// What to do about a token whose key is not known.
    fn find_unknown(&self, now: Duration) -> UnknownKey;
}

/// What to do about a token whose key is not known.
pub(crate) enum UnknownKey {
    /// The issuer does not have the key.
    Refuse,
    /// It is not known whether the issuer has the key.
    Unavailable,
    /// A fetch is running. Verify the token again after it.
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl<C: Claims> Engine<C> {
    /// Authenticates a request in a layer that only verifies.
    pub(super) fn authenticate_verify_only(
        self: &Arc<Self>,
        only: &VerifyOnly,
        head: &RequestHead<'_>,
        bearer: Bearer<'_>,
        context: &RequestContext,
    ) -> AuthStep<C> {
        if let Some(source) = &only.source {
            source.refresh_if_due(context.arrived.monotonic);
        }
        match bearer {
            Bearer::Malformed => AuthStep::rejected(RejectionKind::MalformedBearer),
            Bearer::Token(token) => self.authenticate_bearer(token, context),
            Bearer::Absent if only.cookies => self.authenticate_access_cookie(head, context),
            Bearer::Absent => AuthStep::Ready(AuthOutcome::Anonymous(Refusal::NoToken)),
        }
    }

    /// Authenticates by the access cookie as by a bearer token. But with an invalid cookie, the request is anonymous.
    fn authenticate_access_cookie(
        self: &Arc<Self>,
        head: &RequestHead<'_>,
        context: &RequestContext,
    ) -> AuthStep<C> {
        if let Err(rejected) = self.check_loopback(head).and_then(|()| self.check_cross_site(head)) {
            return AuthStep::rejected(rejected);
        }
        let (mut access, _) = scan(head.headers.get_all(header::COOKIE).iter(), &self.config.cookies);
        if access == CookieValue::Conflict {
            self.config.events.note(EventKind::ConflictingCookies);
            if let Ok((chosen, _)) =
                self.choose_values(head.headers, (access, CookieValue::Absent), context.arrived)
            {
                access = chosen;
            }
        }
        let CookieValue::Value(token) = access else {
            let refusal = if access == CookieValue::Absent { Refusal::NoToken } else { Refusal::BadToken };
            return AuthStep::Ready(AuthOutcome::Anonymous(refusal));
        };
        match self.authenticate_bearer(token, context) {
            AuthStep::Ready(outcome) => AuthStep::Ready(cookie_outcome(outcome)),
            AuthStep::Pending(outcome) => AuthStep::pending(async move { cookie_outcome(outcome.await) }),
        }
    }

    /// Decides about a token whose key is not known. If the keys are being fetched, or may be fetched again (the rate
    /// of fetches is limited), waits for the fetch first.
    pub(super) fn authenticate_unknown_key(
        self: &Arc<Self>,
        token: &[u8],
        context: &RequestContext,
    ) -> AuthStep<C> {
        let refused = RejectionKind::InvalidBearer(Refusal::BadToken);
        let Some(source) = self.config.verify_only.as_ref().and_then(|only| only.source.clone()) else {
            return AuthStep::rejected(refused);
        };
        match source.find_unknown(context.arrived.monotonic) {
            // A fetch has just brought the key.
            UnknownKey::Refuse if self.tokens.codec().knows_key_of(token) => {
                self.authenticate_bearer(token, context)
            }
            UnknownKey::Refuse => AuthStep::rejected(refused),
            UnknownKey::Unavailable => AuthStep::rejected(RejectionKind::Unavailable),
            UnknownKey::Wait(fetched) => {
                let (engine, token, context): (_, Box<[u8]>, _) =
                    (self.clone(), token.into(), context.clone());
                AuthStep::pending(async move {
                    fetched.await;
                    engine.authenticate_after_fetch(&token, &context, &*source).await
                })
            }
        }
    }

    async fn authenticate_after_fetch(
        self: &Arc<Self>,
        token: &[u8],
        context: &RequestContext,
        source: &dyn KeySource,
    ) -> AuthOutcome<C> {
        if self.tokens.codec().knows_key_of(token) {
            return match self.authenticate_bearer(token, context) {
                AuthStep::Ready(outcome) => outcome,
                AuthStep::Pending(outcome) => outcome.await,
            };
        }
        AuthOutcome::Rejected(match source.find_unknown(self.revocation.monotonic()) {
            UnknownKey::Refuse => RejectionKind::InvalidBearer(Refusal::BadToken),
            UnknownKey::Unavailable | UnknownKey::Wait(_) => RejectionKind::Unavailable,
        })
    }
}

impl<C: Claims> Engine<C> {
    /// Returns when an access token has expired, or its session is known to be revoked. A service token also ends when
    /// its subject is marked as stale, because its claims cannot be read again.
    pub(crate) async fn token_ended(self: &Arc<Self>, view: &SessionView<C>) {
        /// If the store does not answer, it is asked again after this time.
        const RETRY: Duration = Duration::from_secs(1);
        self.revocation.start();
        let (mut seen_mark, mut must_ask) = (None, false);
        loop {
            let left = view.expires.since(self.now());
            if left.is_zero() {
                return;
            }
            let time = if must_ask { left.min(RETRY) } else { left };
            if self.wait_for_revocation(view, time, seen_mark).await {
                return;
            }
            // If the subject was marked as stale, some of its sessions were revoked or changed. Only the store knows
            // which.
            let stale_until = self.revocation.denylist.subject_stale_until(&view.key.subject.name);
            let is_stale = stale_until > seen_mark;
            if is_stale && view.service.is_some() {
                return;
            }
            must_ask |= is_stale;
            seen_mark = stale_until;
            if must_ask {
                must_ask = match self.read_live(&view.key, view.run, self.now()).await {
                    Ok(_) => false,
                    Err(SessionError::Unavailable) => true,
                    Err(SessionError::Refused(_)) => return,
                };
            }
        }
    }
}

/// The outcome for the access cookie. An invalid cookie is ignored, so the request is anonymous.
fn cookie_outcome<C>(outcome: AuthOutcome<C>) -> AuthOutcome<C> {
    match outcome {
        AuthOutcome::Rejected(RejectionKind::InvalidBearer(refusal)) => AuthOutcome::Anonymous(refusal),
        other => other,
    }
}
