//! The tokens of a session as such, for clients that keep them themselves. The same sessions, by
//! the same protocol, as those that browsers keep in cookies.

use std::{sync::Arc, time::Duration};

use super::{
    Asking, Engine, RenewError, Renewal, SignIn, SignInError,
    issue::{Basis, Begun},
};
use crate::{
    claims::Claims,
    event::EventKind,
    id::SessionId,
    protocol::{Exchange, Refusal, Standing, exchange},
    store::{SessionKey, StoreError},
    time::Timestamp,
    token::{LONGEST_TOKEN, MintError, RefreshClaims},
};

/// What a client is handed.
pub(crate) struct Issued {
    pub(crate) session: SessionId,
    pub(crate) access: String,
    /// How long the access token is good for.
    pub(crate) expires_in: Duration,
    /// None if the client goes on with the one it has.
    pub(crate) refresh: Option<String>,
}

/// Why a refresh token is exchanged for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session could not be renewed")]
pub(crate) enum ExchangeError {
    /// Nobody knows, or the answer would come too late. The same token works again later.
    Unavailable,
    /// The session is over, or the token is none.
    Refused,
    /// The claims have grown too large for a token.
    TooLarge,
}

impl From<RenewError> for ExchangeError {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Unavailable => Self::Unavailable,
            RenewError::Refused(_) => Self::Refused,
        }
    }
}

impl<C: Claims> Engine<C> {
    /// Opens a session, and answers with its tokens.
    pub(crate) async fn open_tokens(
        self: &Arc<Self>,
        subject: &str,
        claims: &C,
        sign_in: SignIn,
    ) -> Result<Issued, SignInError> {
        let Begun { key, record, run, now, .. } = self.begin(subject, claims, sign_in, None).await?;
        let issued = Timestamp::from_secs(now.as_secs());
        let standing = self.revocations.standing(run, &key.id, &key.subject.name, issued);
        if standing != Standing::Stale {
            return Ok(self.issue(&Basis::begun(&record, &key, run, now), None, true, now)?);
        }
        // The subject was marked in this very second.
        let refresh = RefreshClaims::of(&key.subject.name, key.id, &record.family, run);
        let renewal = self.renew_past_marks(refresh, &Asking::default(), now).await;
        let renewal = renewal.map_err(|error| match error {
            ExchangeError::Refused => SignInError::Refused,
            late => SignInError::Store(StoreError::unavailable(late)),
        })?;
        Ok(self.issue(&renewal.basis(), Some(&renewal.active.claims), true, self.now())?)
    }

    /// Renews what `token` names, for a request that arrived at `arrived`.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        token: &[u8],
        arrived: Timestamp,
        origin: Option<Arc<str>>,
    ) -> Result<Issued, ExchangeError> {
        let refresh = self.tokens().verify_refresh(token).map_err(|invalid| {
            self.events.note(EventKind::RefreshTokenInvalid(invalid));
            ExchangeError::Refused
        })?;
        let now = self.now();
        if now >= refresh.limit {
            self.events.of(EventKind::Refused(Refusal::Expired), &refresh.session, &refresh.subject);
            return Err(ExchangeError::Refused);
        }
        // Whoever sends its body so slowly may have had another answer in the meantime.
        if now.since(arrived) > self.policy.timing().grace {
            return Err(ExchangeError::Unavailable);
        }
        // The body is the token itself, so a late one is no excuse.
        let asking = Asking { with_body: false, passive: false, origin };
        let renewal = self.renew_past_marks(refresh, &asking, now).await?;
        let now = self.now();
        let departure = self.departure(&renewal, arrived, |_| false);
        let (active, record) = (&renewal.active, &renewal.record);
        let both = match exchange(&self.policy, &departure, &record.family, renewal.read_at, now) {
            Exchange::Nothing => return Err(ExchangeError::Unavailable),
            Exchange::AccessOnly => false,
            Exchange::Both => true,
        };
        self.issue(&renewal.basis(), Some(&active.claims), both, now).map_err(|_| {
            self.events.of(EventKind::CookieTooLarge, &active.key.id, &active.key.subject.name);
            ExchangeError::TooLarge
        })
    }

    /// A token of the second in which its session was marked stale counts as stale (see
    /// `Revocations::standing`). A client that is refused a token it has just got may give up, so it
    /// waits for the next second.
    async fn renew_past_marks(
        self: &Arc<Self>,
        refresh: RefreshClaims,
        asking: &Asking,
        now: Timestamp,
    ) -> Result<Renewal<C>, ExchangeError> {
        let renewal = self.renew(refresh.clone(), asking).await?;
        if !self.is_stale_from_birth(&renewal) {
            return Ok(renewal);
        }
        let next = Timestamp::from_secs(now.as_secs().saturating_add(1));
        tokio::time::sleep(next.since(now)).await;
        let renewal = self.renew(refresh, asking).await?;
        // By a clock that is ahead of this one, it may take longer.
        if self.is_stale_from_birth(&renewal) { Err(ExchangeError::Unavailable) } else { Ok(renewal) }
    }

    fn is_stale_from_birth(&self, renewal: &Renewal<C>) -> bool {
        let (active, issued) = (&renewal.active, renewal.read_at.as_secs());
        let SessionKey { subject, id } = &active.key;
        let known = self.revocations.standing(active.run, id, &subject.name, Timestamp::from_secs(issued));
        let recorded = renewal.record.stale_since.is_some_and(|since| issued <= since.as_secs());
        known == Standing::Stale || recorded
    }

    fn issue(
        &self,
        basis: &Basis<'_>,
        parsed: Option<&Arc<C>>,
        with_refresh: bool,
        now: Timestamp,
    ) -> Result<Issued, MintError> {
        let Basis { record, key, run, .. } = *basis;
        let access = self.access_token(basis, parsed, now)?;
        if access.len() > LONGEST_TOKEN {
            return Err(MintError::TooLong(access.len()));
        }
        let tokens = self.tokens();
        let expires = tokens.access_expiry(now, record.family.absolute_deadline);
        let refresh =
            || tokens.mint_refresh(&RefreshClaims::of(&key.subject.name, key.id, &record.family, run));
        Ok(Issued {
            session: key.id,
            access,
            expires_in: expires.since(now),
            refresh: with_refresh.then(refresh).transpose()?,
        })
    }

    /// Ends the session that a token of either kind names, dead or alive. What is no token of ours
    /// names none.
    pub(crate) async fn revoke_token(&self, token: &[u8]) -> Result<(), StoreError> {
        let key = match self.tokens().verify_refresh(token) {
            Ok(refresh) => Some(self.key(refresh.subject.clone(), refresh.session)),
            Err(_) => self.active(token).map(|active| active.key.clone()),
        };
        match key {
            Some(key) => self.sign_out(&key).await,
            None => Ok(()),
        }
    }
}
