//! Tokens for clients without cookies. The sessions and the protocol are the same as with cookies.

use std::{sync::Arc, time::Duration};

use super::{
    Credential, Engine, RequestContext, SignInError, SignInOptions, bound::device_of, mint::TokenBasis,
    sign_in::NewSession,
};
use crate::{
    claims::Claims,
    id::SessionId,
    protocol::{Family, SessionStatus, TokenDecision, decide_tokens},
    revocation::SessionError,
    store::StoreError,
    time::{Reading, Timestamp},
    token::{LONGEST_TOKEN, MintError, RefreshClaims},
};

/// A body is slow if reading it took at least the shorter of two times: this constant, and this instance's grace
/// period. Only for a slow body, the session's record is read, to compare the duration with the session's own grace
/// period.
const SLOW_BODY: Duration = Duration::from_secs(1);

/// The tokens for a client.
pub(crate) struct IssuedTokens {
    pub(crate) session: SessionId,
    pub(crate) access: String,
    /// How long the access token is valid.
    pub(crate) expires_in: Duration,
    /// `None` if the client keeps its refresh token.
    pub(crate) refresh: Option<String>,
    pub(crate) refresh_expiry: RefreshExpiry,
}

/// How long a refresh token stays valid.
#[derive(Clone, Copy)]
pub(crate) struct RefreshExpiry {
    /// Without further use: until the idle timeout. The real value is larger if the last use is not written yet.
    pub(crate) expires_in_unused: Duration,
    /// With constant use: until the absolute timeout. Never shorter than `expires_in_unused`.
    pub(crate) session_expires_in: Duration,
}

/// Why a refresh token could not be exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The store did not answer, or the answer would come too late. The same token works again later.
    #[error("the session cannot be renewed now")]
    Unavailable,
    /// The session is revoked or expired, or the token is invalid.
    #[error("the session is revoked or expired, or the refresh token is invalid")]
    Refused,
    /// No token was minted: the claims are too large, or the key failed.
    #[error("no token was minted")]
    NotMinted,
}

impl From<SessionError> for ExchangeError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Unavailable => Self::Unavailable,
            SessionError::Refused(_) => Self::Refused,
        }
    }
}

impl<C: Claims> Engine<C> {
    /// Opens a session, and returns its tokens.
    pub(crate) async fn open_tokens(
        self: &Arc<Self>,
        subject: &str,
        claims: &C,
        options: SignInOptions,
    ) -> Result<IssuedTokens, SignInError> {
        let mint = |new: &NewSession<C>| {
            let NewSession { key, record, run, now, .. } = new;
            self.issue(&TokenBasis::of(record, key, *run, *now), None, true, *now)
        };
        self.open_session(subject, claims, options, Vec::new(), mint).await
    }

    /// Renews the session of the refresh token `token`, for a request that arrived at `arrived`.
    pub(crate) async fn exchange_refresh_token(
        self: &Arc<Self>,
        token: &[u8],
        arrived: Reading,
        origin: Option<Arc<str>>,
    ) -> Result<IssuedTokens, ExchangeError> {
        self.start_followers();
        let now = self.revocation.read_clock();
        let refresh = self.verify_refresh(token, now.wall)?;
        let slow_by = now.since(&arrived);
        // While a client sends its body slowly, another response may give it a newer refresh token. The response to
        // this request could then replace that token with an older one. So a body that took longer than the session's
        // own grace period is refused.
        if slow_by >= SLOW_BODY.min(self.config.policy.timing().grace) {
            let key = self.key(refresh.subject.clone(), refresh.session);
            if slow_by > self.read(&key, refresh.run).await?.family.timing.grace {
                return Err(ExchangeError::Unavailable);
            }
        }
        // `with_body` is for a token in the headers of a request whose body a proxy delivers late. Here the token is in
        // the body, and a slow body was refused above.
        let context = RequestContext {
            credential: Credential::Bearer,
            arrived,
            with_body: false,
            passive: false,
            proven: false,
            origin,
        };
        let mut renewal = self.renew_shared(&refresh, &context).await?;
        let mut response = self.response_state(&renewal, arrived, self.revocation.read_clock(), |_| false);
        if response.status == SessionStatus::Stale {
            // The claims changed meanwhile. Renew once more.
            renewal = self.renew_shared(&refresh, &context).await?;
            response = self.response_state(&renewal, arrived, self.revocation.read_clock(), |_| false);
        }
        if response.status == SessionStatus::Stale {
            // The claims are still stale, because an instance with a fast clock set the mark. Issue the token anyway.
            // Its `iat` is before the mark, so its first use reads the claims from the store.
            response.status = SessionStatus::Valid;
        }
        let now = self.now();
        let (view, record) = (renewal.session.view(), &renewal.record);
        let both = match decide_tokens(
            &response,
            &self.with_shorter_write_window(&record.family),
            renewal.read_at,
            now,
        ) {
            TokenDecision::Nothing => return Err(ExchangeError::Unavailable),
            TokenDecision::AccessOnly => false,
            TokenDecision::Both => true,
        };
        self.issue(&self.token_basis(&renewal), Some(&view.claims), both, now).map_err(|error| {
            self.report_unwritten(&error, &view.key);
            ExchangeError::NotMinted
        })
    }

    /// Mints an access token, and a refresh token if `with_refresh` is true.
    fn issue(
        &self,
        basis: &TokenBasis<'_>,
        claims_to_cache: Option<&Arc<C>>,
        with_refresh: bool,
        now: Timestamp,
    ) -> Result<IssuedTokens, MintError> {
        let TokenBasis { record, key, run, .. } = *basis;
        let codec = self.tokens.codec();
        let access = self.mint_and_cache(&codec, basis, claims_to_cache, now, Credential::Bearer)?;
        if access.len() > LONGEST_TOKEN {
            return Err(MintError::TooLong { length: access.len(), limit: LONGEST_TOKEN });
        }
        let expires = self.config.policy.access_expiry(now, record.family.absolute_deadline);
        let refresh = || {
            codec.mint_refresh(&RefreshClaims::of(
                &key.subject.name,
                key.id,
                &record.family,
                run,
                device_of(record),
            ))
        };
        Ok(IssuedTokens {
            session: key.id,
            access,
            expires_in: expires.since(now),
            refresh: with_refresh.then(refresh).transpose()?,
            refresh_expiry: self.refresh_expiry(&record.family, now),
        })
    }

    /// When the refresh token of a session expires, by its record and by this instance's policy.
    pub(crate) fn refresh_expiry(&self, family: &Family, now: Timestamp) -> RefreshExpiry {
        let timing = self.config.policy.timing();
        // The token has whole seconds.
        let session = Timestamp::from_secs(
            family.absolute_deadline_with_timeout_at_most(timing.absolute_timeout).as_secs(),
        );
        let unused = family.idle_deadline_with_timeout_at_most(timing.idle_timeout).min(session);
        RefreshExpiry { expires_in_unused: unused.since(now), session_expires_in: session.since(now) }
    }

    /// Revokes the session of an access or a refresh token, expired or not. Other tokens are ignored.
    pub(crate) async fn revoke_token(&self, token: &[u8]) -> Result<(), StoreError> {
        match self.session_of(token)? {
            Some(key) => self.revocation.revoke_by_token(&key).await.map(drop),
            None => Ok(()),
        }
    }
}
