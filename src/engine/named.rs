//! Cookies with several values under one name: which sessions they name.
//!
//! Another host of the site can plant cookies if their name or domain allows it. An application that has changed
//! its cookies leaves the former ones in browsers. Invalid values are ignored. If valid values name two sessions,
//! the request has no session, since the order of cookies means nothing.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use serde::de::IgnoredAny;

use super::{AuthOutcome, Engine};
use crate::{
    cache,
    claims::Claims,
    cookie::{CookieValue, Cookies, Values, are_too_long, values},
    id::{RunId, SessionId},
    protocol::Refusal,
    rejection::RejectionKind,
    store::{SessionKey, StoreError},
    time::Timestamp,
    token::{AccessClaims, InvalidToken, LONGEST_TOKEN, RefreshClaims, TokenCodec},
};

/// The sessions whose tokens a request carries, live or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedSessions {
    pub(crate) sessions: Vec<SessionKey>,
    /// Whether there were more values than are read. They may name other sessions.
    pub(crate) too_many: bool,
    /// Whether there was a token of a [new key](InvalidToken::NewKey). It may name another session.
    pub(crate) new_key: bool,
}

/// The headers that remove former cookies, for a request with two values under one name: a former cookie may be
/// the cause, and such a client can neither sign in nor renew.
#[derive(Debug, Default)]
pub(crate) struct FormerCookies(Option<Box<[HeaderValue]>>);

impl FormerCookies {
    pub(super) fn of(cookies: &Cookies) -> Self {
        let lines: Box<[_]> = cookies.former_removals().map(|(_, line)| line).collect();
        Self((!lines.is_empty()).then_some(lines))
    }

    /// Adds the headers to a response that lacks them.
    #[inline]
    pub(crate) fn remove(&self, headers: &mut HeaderMap) {
        if let Some(lines) = &self.0 {
            Self::add(lines, headers);
        }
    }

    #[cold]
    fn add(lines: &[HeaderValue], headers: &mut HeaderMap) {
        for line in lines {
            if headers.get_all(header::SET_COOKIE).iter().all(|other| other != line) {
                headers.append(header::SET_COOKIE, line.clone());
            }
        }
        cache::forbid(headers);
    }
}

/// What a valid token says.
struct ValidToken {
    subject: Arc<str>,
    session: SessionId,
    run: RunId,
    /// When it was issued, and its generation.
    issued: (Timestamp, u64),
    /// The absolute timeout of its session. Access tokens do not have it.
    limit: Option<Timestamp>,
}

impl ValidToken {
    fn by_access(tokens: &TokenCodec, token: &[u8]) -> Result<Self, InvalidToken> {
        // A token with claims that the application cannot read names a session, too.
        let claims = tokens.verify_access::<IgnoredAny>(token)?;
        let AccessClaims { subject, session, run, issued, generation, .. } = claims;
        Ok(Self { subject, session, run, issued: (issued, generation), limit: None })
    }

    fn by_refresh(tokens: &TokenCodec, token: &[u8]) -> Result<Self, InvalidToken> {
        let RefreshClaims { subject, session, run, began, generation, limit } =
            tokens.verify_refresh(token)?;
        Ok(Self { subject, session, run, issued: (began, generation), limit: Some(limit) })
    }
}

impl<C: Claims> Engine<C> {
    /// Every session that a valid token of either cookie names, expired or not.
    pub(crate) fn named_sessions(&self, headers: &HeaderMap) -> NamedSessions {
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
                Err(invalid) => named.new_key |= invalid == InvalidToken::NewKey,
            }
        }
        named
    }

    /// The session that an access or a refresh token names, live or not. None for another token.
    ///
    /// # Errors
    /// It is a token of a key that this instance does not have.
    #[cfg(feature = "oauth")]
    pub(super) fn session_of(&self, token: &[u8]) -> Result<Option<SessionKey>, StoreError> {
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
    /// The outcome of the request otherwise.
    #[cold]
    pub(super) fn choose_values<'h>(
        &self,
        headers: &'h HeaderMap,
        (access, refresh): (CookieValue<'h>, CookieValue<'h>),
        now: Timestamp,
    ) -> Result<(CookieValue<'h>, CookieValue<'h>), AuthOutcome<C>> {
        const REFUSED: Refusal = Refusal::BadToken;
        let all = values(headers, &self.config.cookies, LONGEST_TOKEN);
        if all.too_many || are_too_long(headers) {
            return Err(AuthOutcome::Anonymous(REFUSED));
        }
        let tokens = self.tokens.codec();
        let mut session = None;
        // Answers with the issue time and generation of a valid token.
        let mut judge = |valid: Result<ValidToken, InvalidToken>| match valid {
            Err(InvalidToken::NewKey) => Err(AuthOutcome::Rejected(RejectionKind::Unavailable)),
            Err(_) => Ok(None),
            // A session that has ended is no choice.
            Ok(valid) if self.is_over(&valid, now) => Ok(None),
            Ok(valid) if *session.get_or_insert(valid.session) != valid.session => {
                Err(AuthOutcome::Anonymous(REFUSED))
            }
            Ok(valid) => Ok(Some(valid.issued)),
        };
        let mut newest = |token_of: fn(&TokenCodec, &[u8]) -> Result<ValidToken, InvalidToken>,
                          tokens_found: Vec<_>|
         -> Result<_, AuthOutcome<C>> {
            let mut newest: Option<((Timestamp, u64), &'h [u8])> = None;
            for token in tokens_found {
                if let Some(issued) = judge(token_of(&tokens, token))? {
                    newest = newest.max(Some((issued, token)));
                }
            }
            Ok(newest.map(|(_, token)| token))
        };
        let newest_access = newest(ValidToken::by_access, all.access)?;
        let newest_refresh = newest(ValidToken::by_refresh, all.refresh)?;
        let chosen = |found, newest| match (found, newest) {
            (CookieValue::Conflict, Some(token)) => CookieValue::Value(token),
            (found, _) => found,
        };
        Ok((chosen(access, newest_access), chosen(refresh, newest_refresh)))
    }

    /// Whether this instance knows that a token's session has ended.
    fn is_over(&self, valid: &ValidToken, now: Timestamp) -> bool {
        valid.limit.is_some_and(|limit| now >= limit)
            || self.revocation.denylist.check(&valid.session, valid.run).is_err()
    }
}

/// A token of a key that this instance does not have: its session could not be revoked.
pub(crate) fn new_key_error() -> StoreError {
    StoreError::unavailable(InvalidToken::NewKey)
}
