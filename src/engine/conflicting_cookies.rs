//! Several cookies with one name: finds the sessions of their tokens, and chooses one session.
//!
//! There are two causes. Another host of the site can set cookies with these names, unless the names have the prefix
//! `__Host-`. And after a change of an application's cookie settings, browsers may still have its former cookies.
//!
//! Invalid values are ignored, and so are the values of revoked or expired sessions. If valid values name two live
//! sessions, the request has no session, because the order of cookies means nothing.

use std::sync::Arc;

use http::HeaderMap;
use serde::de::IgnoredAny;

use super::{AuthOutcome, AuthStep, Engine, RequestContext};
use crate::{
    claims::Claims,
    cookie::{CookieValue, Values, are_too_long, values},
    cross_site::RenewalPermission,
    id::{RunId, SessionId},
    protocol::Refusal,
    rejection::RejectionKind,
    revocation::SessionError,
    store::{SessionKey, StoreError},
    time::{Reading, Timestamp},
    token::{AccessClaims, InvalidToken, LONGEST_TOKEN, RefreshClaims, TokenCodec},
};

/// The sessions whose tokens a request carries, live or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedSessions {
    pub(crate) sessions: Vec<SessionKey>,
    /// Whether there were more values than are read. They may name other sessions.
    pub(crate) too_many: bool,
    /// Whether there was a token of a [new key](InvalidToken::NewKey). Its session is unknown.
    pub(crate) has_token_of_new_key: bool,
}

/// Orders the tokens of one session: a time and the generation. The time is `iat`: for an access token, when its record
/// was read; for a refresh token, when the session began.
type Recency = (Timestamp, u64);

/// The session of a valid token, and how recent the token is.
struct ValidToken {
    subject: Arc<str>,
    session: SessionId,
    run: RunId,
    recency: Recency,
    /// The absolute deadline of the session, in a refresh token. `None` in an access token.
    absolute_deadline: Option<Timestamp>,
}

impl ValidToken {
    fn by_access(tokens: &TokenCodec, token: &[u8]) -> Result<Self, InvalidToken> {
        // A token with claims that the application cannot read names a session, too.
        let claims = tokens.verify_access::<IgnoredAny>(token)?;
        let AccessClaims { subject, session, run, issued, generation, .. } = claims;
        Ok(Self { subject, session, run, recency: (issued, generation), absolute_deadline: None })
    }

    fn by_refresh(tokens: &TokenCodec, token: &[u8]) -> Result<Self, InvalidToken> {
        let RefreshClaims { subject, session, run, began, generation, absolute_deadline, .. } =
            tokens.verify_refresh(token)?;
        Ok(Self {
            subject,
            session,
            run,
            recency: (began, generation),
            absolute_deadline: Some(absolute_deadline),
        })
    }
}

/// The newest tokens of one session in a request.
struct SessionTokens<'h> {
    subject: Arc<str>,
    session: SessionId,
    run: RunId,
    access: Option<(Recency, &'h [u8])>,
    refresh: Option<(Recency, &'h [u8])>,
}

impl<'h> SessionTokens<'h> {
    fn add(sessions: &mut Vec<Self>, token: &'h [u8], valid: ValidToken) {
        let ValidToken { subject, session, run, recency, absolute_deadline } = valid;
        let index = sessions.iter().position(|one| one.session == session).unwrap_or_else(|| {
            sessions.push(Self { subject, session, run, access: None, refresh: None });
            sessions.len() - 1
        });
        if let Some(Self { access, refresh, .. }) = sessions.get_mut(index) {
            let is_refresh = absolute_deadline.is_some();
            let newest = if is_refresh { refresh } else { access };
            *newest = (*newest).max(Some((recency, token)));
        }
    }
}

/// One of several sessions for which a request has valid tokens.
pub(super) struct Candidate {
    key: SessionKey,
    run: RunId,
    access: Option<Box<[u8]>>,
    refresh: Option<Box<[u8]>>,
}

/// Why no value could be chosen.
pub(super) enum NoChoice<C> {
    /// The outcome of the request.
    Outcome(AuthOutcome<C>),
    /// The store must be asked which of these sessions are live.
    AskStore(Vec<Candidate>),
}

impl<C: Claims> Engine<C> {
    /// Every session for which either cookie has a token with a valid signature. The session may be revoked or expired,
    /// and the token may have expired.
    pub(crate) fn named_sessions(&self, headers: &HeaderMap) -> NamedSessions {
        self.follow_key_file();
        let Values { access, refresh, too_many } = values(headers, &self.config.cookies, LONGEST_TOKEN);
        let tokens = self.tokens.codec();
        let mut named = NamedSessions { too_many, ..NamedSessions::default() };
        let refresh = refresh.into_iter().map(|token| ValidToken::by_refresh(&tokens, token));
        let access = access.into_iter().map(|token| ValidToken::by_access(&tokens, token));
        for valid in refresh.chain(access) {
            match valid {
                Ok(ValidToken { subject, session, .. }) => {
                    if named.sessions.iter().all(|other| other.id != session) {
                        named.sessions.push(self.key(subject, session));
                    }
                }
                Err(invalid) => named.has_token_of_new_key |= invalid == InvalidToken::NewKey,
            }
        }
        named
    }

    /// The session of an access or a refresh token, live or not. `None` if the token is not valid.
    ///
    /// # Errors
    /// It is a token of a key that this instance does not have.
    #[cfg(feature = "oauth")]
    pub(super) fn session_of(&self, token: &[u8]) -> Result<Option<SessionKey>, StoreError> {
        self.follow_key_file();
        let tokens = self.tokens.codec();
        for valid in [ValidToken::by_refresh(&tokens, token), ValidToken::by_access(&tokens, token)] {
            match valid {
                Ok(ValidToken { subject, session, .. }) => return Ok(Some(self.key(subject, session))),
                Err(InvalidToken::NewKey) => return Err(new_key_error()),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Chooses among several values under one name: the newest valid one, if all valid values are of one session.
    ///
    /// # Errors
    /// There are valid values of several sessions, too many values, more than 64 KB of cookies, or a token of a key
    /// that this instance does not have.
    #[cold]
    pub(super) fn choose_values<'h>(
        &self,
        headers: &'h HeaderMap,
        (access, refresh): (CookieValue<'h>, CookieValue<'h>),
        now: Reading,
    ) -> Result<(CookieValue<'h>, CookieValue<'h>), NoChoice<C>> {
        let refused = NoChoice::Outcome(AuthOutcome::Anonymous(Refusal::BadToken));
        let all = values(headers, &self.config.cookies, LONGEST_TOKEN);
        if all.too_many || are_too_long(headers) {
            return Err(refused);
        }
        let tokens = self.tokens.codec();
        let access_tokens =
            all.access.into_iter().map(|token| (token, ValidToken::by_access(&tokens, token)));
        let refresh_tokens =
            all.refresh.into_iter().map(|token| (token, ValidToken::by_refresh(&tokens, token)));
        let mut sessions: Vec<SessionTokens<'h>> = Vec::new();
        for (token, valid) in access_tokens.chain(refresh_tokens) {
            match valid {
                Err(InvalidToken::NewKey) => {
                    return Err(NoChoice::Outcome(AuthOutcome::Rejected(RejectionKind::Unavailable)));
                }
                // Ignore sessions that are known to be revoked or expired.
                Ok(valid) if !self.is_revoked_or_expired(&valid, now.wall) => {
                    SessionTokens::add(&mut sessions, token, valid)
                }
                Ok(_) | Err(_) => {}
            }
        }
        let chosen = |value, newest| match (value, newest) {
            (CookieValue::Conflict, Some((_, token))) => CookieValue::Value(token),
            (value, _) => value,
        };
        match &*sessions {
            [] => Ok((access, refresh)),
            [one] => Ok((chosen(access, one.access), chosen(refresh, one.refresh))),
            // The denylist has each revocation of a session with a recent token, and revoked sessions were ignored
            // above. So two sessions with recent tokens are both live, unless one of them has expired.
            several if several.iter().filter(|session| self.is_recent(session, now)).count() > 1 => {
                Err(refused)
            }
            _ => {
                Err(NoChoice::AskStore(sessions.into_iter().map(|session| self.candidate(session)).collect()))
            }
        }
    }

    /// Whether the newest token of a session is so recent that the denylist still has every revocation since the token
    /// was issued.
    fn is_recent(&self, session: &SessionTokens<'_>, now: Reading) -> bool {
        let kept_since = now.wall - self.revocation.denylist.keep();
        let newest = session.access.max(session.refresh).map(|((at, _), _)| at);
        newest.is_some_and(|at| at > kept_since) && self.revocation.knows_revocations(now)
    }

    fn candidate(&self, tokens: SessionTokens<'_>) -> Candidate {
        let SessionTokens { subject, session, run, access, refresh } = tokens;
        let owned = |newest: Option<(Recency, &[u8])>| newest.map(|(_, token)| token.into());
        Candidate { key: self.key(subject, session), run, access: owned(access), refresh: owned(refresh) }
    }

    /// Serves a request with valid tokens of several sessions, if the store says that only one of them is live. For
    /// example, a browser may keep the cookies of a session that a sign-in has replaced.
    pub(super) async fn serve_live_session(
        self: Arc<Self>,
        candidates: Vec<Candidate>,
        permission: RenewalPermission,
        context: RequestContext,
    ) -> AuthOutcome<C> {
        let mut live = None;
        for candidate in candidates {
            match self.read_live(&candidate.key, candidate.run, self.now()).await {
                Ok(_) if live.is_some() => return AuthOutcome::Anonymous(Refusal::BadToken),
                Ok(_) => live = Some(candidate),
                Err(SessionError::Refused(_)) => {}
                Err(SessionError::Unavailable) => return AuthOutcome::Rejected(RejectionKind::Unavailable),
            }
        }
        let Some(Candidate { access, refresh, .. }) = live else {
            return AuthOutcome::Anonymous(Refusal::BadToken);
        };
        let access = access.as_deref().map_or(CookieValue::Absent, CookieValue::Value);
        let refresh = refresh.as_deref().map_or(CookieValue::Absent, CookieValue::Value);
        match self.authenticate_values(access, refresh, || permission, &context) {
            AuthStep::Ready(outcome) => outcome,
            AuthStep::Pending(outcome) => outcome.await,
        }
    }

    /// Whether this instance knows that a token's session is revoked or expired.
    fn is_revoked_or_expired(&self, valid: &ValidToken, now: Timestamp) -> bool {
        valid.absolute_deadline.is_some_and(|deadline| now >= deadline)
            || self.revocation.denylist.check(&valid.session, valid.run).is_err()
    }
}

/// The error if the session of a token must be revoked, but this instance does not have the token's key. So the session
/// is unknown.
pub(crate) fn new_key_error() -> StoreError {
    StoreError::unavailable(InvalidToken::NewKey)
}
