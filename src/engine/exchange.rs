//! The tokens of a session as such, for clients that keep them themselves. The same sessions, by
//! the same protocol, as those that browsers keep in cookies.

use std::{sync::Arc, time::Duration};

use super::{
    Asking, Engine, RenewError, SignIn, SignInError,
    issue::{Basis, Begun},
};
use crate::{
    claims::Claims,
    event::EventKind,
    id::SessionId,
    protocol::{Exchange, Refusal, Standing, exchange},
    store::StoreError,
    time::{Reading, Timestamp},
    token::{InvalidToken, LONGEST_TOKEN, MintError, RefreshClaims},
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
        let Begun { key, record, run, now, .. } = self.begin(subject, claims, sign_in, Vec::new()).await?;
        Ok(self.issue(&Basis::begun(&record, &key, run, now), None, true, now)?)
    }

    /// Renews what `token` names, for a request that arrived at `arrived`.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        token: &[u8],
        arrived: Reading,
        origin: Option<Arc<str>>,
    ) -> Result<Issued, ExchangeError> {
        let refresh = self.tokens().verify_refresh(token).map_err(|invalid| {
            self.config.events.note(EventKind::RefreshTokenInvalid(invalid));
            match invalid {
                InvalidToken::NewKey => ExchangeError::Unavailable,
                _ => ExchangeError::Refused,
            }
        })?;
        let now = self.read_clock();
        if now.wall >= refresh.limit {
            self.config.events.of(EventKind::Refused(Refusal::Expired), &refresh.session, &refresh.subject);
            return Err(ExchangeError::Refused);
        }
        // Whoever sends its body so slowly may have had another answer in the meantime.
        if now.since(&arrived) > self.config.policy.timing().grace {
            return Err(ExchangeError::Unavailable);
        }
        // The body is the token itself, so a late one is no excuse.
        let asking = Asking { with_body: false, passive: false, origin };
        let mut renewal = self.renew(refresh.clone(), &asking).await?;
        let mut departure = self.departure(&renewal, arrived, self.read_clock(), |_| false);
        if departure.standing == Standing::Stale {
            // Claims that changed meanwhile.
            renewal = self.renew(refresh, &asking).await?;
            departure = self.departure(&renewal, arrived, self.read_clock(), |_| false);
        }
        if departure.standing == Standing::Stale {
            // By a clock that is ahead. That is no reason to send nothing: the token is from before that
            // time, and so its claims are looked up when it comes.
            departure.standing = Standing::Good;
        }
        let now = self.now();
        let (active, record) = (&renewal.active, &renewal.record);
        let both = match exchange(&departure, &self.as_judged_here(&record.family), renewal.read_at, now) {
            Exchange::Nothing => return Err(ExchangeError::Unavailable),
            Exchange::AccessOnly => false,
            Exchange::Both => true,
        };
        self.issue(&renewal.basis(), Some(&active.claims), both, now).map_err(|error| {
            self.report_unwritten(&error, &active.key);
            ExchangeError::TooLarge
        })
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
        match self.named_by(token)? {
            Some(key) => self.sign_out(&key).await.map(drop),
            None => Ok(()),
        }
    }
}
