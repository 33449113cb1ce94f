//! Refresh tokens: the session and the generation.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
use super::jwe::verify;
#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
use super::jws::verify;
use super::{
    cnf::DeviceKey,
    codec::{TokenCodec, could_be_ours},
    error::{InvalidToken, MintError},
    json::not_null,
    jws,
    key::Kind,
};
use crate::{
    id::{RunId, SessionId},
    protocol::Family,
    time::Timestamp,
};

/// The content of a refresh token. The token depends only on this content and on the signing key, so all instances mint
/// the same token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshClaims {
    pub(crate) subject: Arc<str>,
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    /// When the session began.
    pub(crate) began: Timestamp,
    /// The session's absolute deadline. The token contains it in whole seconds, rounded down.
    pub(crate) absolute_deadline: Timestamp,
    /// The device key, if the binding was confirmed when the token was minted. Such a token renews nothing without a
    /// proof of the key.
    pub(crate) device: Option<DeviceKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    sid: SessionId,
    r#gen: u64,
    run: RunId,
    iat: u64,
    exp: u64,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    cnf: Option<DeviceKey>,
}

impl RefreshClaims {
    /// The claims of a session's current generation.
    pub(crate) fn of(
        subject: &Arc<str>,
        session: SessionId,
        family: &Family,
        run: RunId,
        device: Option<DeviceKey>,
    ) -> Self {
        let Family { generation, absolute_deadline, .. } = *family;
        let device = device.filter(DeviceKey::is_confirmed);
        Self {
            subject: subject.clone(),
            session,
            generation,
            run,
            began: began(family, absolute_deadline),
            absolute_deadline,
            device,
        }
    }

    /// Whether the times of these claims are the times of the record. All tokens of one session have the same times.
    /// There is one exception: if the absolute deadline of the record was [capped](Family::cap_future_times), older
    /// tokens have a later deadline. Such a deadline is accepted if it is at most `longest` after the session began.
    /// `longest` is the absolute timeout of the policy.
    pub(crate) fn times_match_record(&self, family: &Family, longest: Duration) -> bool {
        let (own, capped) = (self.absolute_deadline.as_secs(), family.absolute_deadline.as_secs());
        let is_from_before = || capped < own && own <= (family.created_at + longest).as_secs();
        self.began.as_secs() == began(family, self.absolute_deadline).as_secs()
            && (own == capped || is_from_before())
    }
}

/// When a session began, as its tokens with this absolute deadline say. A capped absolute deadline may be before the
/// session's real start. In this case, the tokens say that the session began at the absolute deadline.
fn began(family: &Family, absolute_deadline: Timestamp) -> Timestamp {
    family.created_at.min(absolute_deadline)
}

impl TokenCodec {
    pub(crate) fn mint_refresh(&self, claims: &RefreshClaims) -> Result<String, MintError> {
        let wire = Wire {
            aud: Cow::Borrowed(&self.realm),
            sub: Cow::Borrowed(&claims.subject),
            sid: claims.session,
            r#gen: claims.generation,
            run: claims.run,
            iat: claims.began.as_secs(),
            exp: claims.absolute_deadline.as_secs(),
            cnf: claims.device,
        };
        jws::mint(&self.ring, Kind::Refresh, &wire)
    }

    pub(crate) fn verify_refresh(&self, token: &[u8]) -> Result<RefreshClaims, InvalidToken> {
        verify(&self.ring, Kind::Refresh, token, |payload| self.read_refresh(payload))
    }

    fn read_refresh(&self, payload: &[u8]) -> Result<RefreshClaims, InvalidToken> {
        let wire: Wire<'_> = jws::claims(payload)?;
        if *wire.aud != *self.realm {
            return Err(InvalidToken::Audience);
        }
        if !could_be_ours(&wire.sub, wire.iat, wire.exp) {
            return Err(InvalidToken::Claims);
        }
        Ok(RefreshClaims {
            subject: wire.sub.into(),
            session: wire.sid,
            generation: wire.r#gen,
            run: wire.run,
            began: Timestamp::from_secs(wire.iat),
            absolute_deadline: Timestamp::from_secs(wire.exp),
            device: wire.cnf,
        })
    }
}
