//! The kinds of events, and their names.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::outcome::{Renewed, invalid, refusal, renewed};
use crate::{
    origin::OriginVerdict,
    protocol::Refusal,
    token::{InvalidToken, MintError},
};

/// The kind of an event. The [table](crate::manual::events#all-events) lists each kind with its level, and says what to
/// do. The [name](Self::name) and the [outcome](Self::outcome) of a kind do not change in later versions of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A session began.
    SignedIn,
    /// A session was renewed. The field says how.
    Renewed(Renewed),
    /// A request was not served with a session. The field says why.
    Refused(Refusal),
    /// An access token was invalid. If it came in a cookie, the refresh token decides about the request.
    AccessTokenInvalid(InvalidToken),
    /// A refresh token was invalid.
    RefreshTokenInvalid(InvalidToken),
    /// **Critical.** Refresh token reuse: a request presented a refresh token that was superseded longer than the grace
    /// period ago. So an attacker may have a copy of the token. The session was revoked.
    /// [`Event::reuse`](crate::Event::reuse) says how old the token was, and whether the request came from the recorded
    /// origin.
    #[doc(alias = "token theft")]
    #[doc(alias = "reuse")]
    #[doc(alias = "replay")]
    ReuseDetected,
    /// Refresh token reuse, as in [`ReuseDetected`](Self::ReuseDetected), but the session was not revoked. The reason
    /// is the setting
    /// [`keep_session_on_reuse_at_recorded_origin`](crate::SessionsBuilder::keep_session_on_reuse_at_recorded_origin).
    ReuseTolerated,
    /// The successor of a refresh token was handed out several times, more than a grace period apart, and no request
    /// has confirmed it. Two clients may have the predecessor. A client whose responses are lost causes the same event.
    SuccessorUnconfirmed,
    /// The store had lost a rotation, for example in a failover. The refresh token of a request repaired the record.
    LostWriteRepaired,
    /// Sessions were revoked, by a sign-out or otherwise.
    Revoked {
        /// The number of revoked sessions.
        sessions: usize,
    },
    /// [`revoke_everything`](crate::Sessions::revoke_everything) revoked all sessions. The store has a new run ID, and
    /// all sessions of an older run ID are invalid.
    EverythingRevoked,
    /// The store returned an older run ID than before, for example after a failover or a restored backup. The newest
    /// known run ID was written to the store. The store may also have lost other revocations.
    RunIdRestored,
    /// A sign-in was refused, because the subject has the maximum number of sessions.
    TooManySessions,
    /// The claims reload hook revoked a session.
    RevokedByApplication {
        /// The reason, as the application named it.
        reason: Cow<'static, str>,
    },
    /// The claims reload hook failed. The session was neither renewed nor revoked.
    ReloadFailed,
    /// The claims of a session were replaced.
    ClaimsUpdated,
    /// The access tokens of a subject were marked as stale. Each token is renewed at its next use.
    MarkedStale,
    /// The user of a session re-authenticated.
    Reauthenticated,
    /// A session was used from another origin than the recorded origin. The field is the verdict of the hook
    /// `compare_origin`.
    OriginChanged(OriginVerdict),
    /// A request had two different values for the name of one of the cookies, or more than 64 KB of cookies.
    ConflictingCookies,
    /// A request with an unsafe method from another origin was refused. The [cause](crate::Event::cause) has the
    /// method, the host and the origin of the request.
    CrossSiteRefused,
    /// A store call failed, or took too long.
    StoreFailed {
        /// The operation of the store.
        operation: &'static str,
        /// The kind of failure: `unavailable`, `late`, `full`, `configuration`, `unsupported` or `corrupt`. The
        /// [cause](crate::Event::cause) says more.
        why: &'static str,
    },
    /// The store's feed has a gap, so this instance may not know of some revocations. Access tokens that were issued
    /// before this event are renewed at their next use.
    FeedGap,
    /// This instance has not read the store's feed to its end for longer than the [lag
    /// bound](crate::SessionsBuilder::feed_lag_bound). So this instance may not know of revocations by other instances.
    /// The [cause](crate::Event::cause) says why.
    FeedLagging,
    /// After a lag, this instance has read the store's feed to its end again.
    FeedRecovered,
    /// The wall clock was stepped by more than 5 s. Some access tokens are therefore checked with the store once: those
    /// that were issued at times that the wall clock showed before the step.
    ClockStepped {
        /// Whether the wall clock was stepped ahead. Otherwise, it was stepped back.
        ahead: bool,
        /// The size of the step.
        by: Duration,
    },
    /// A service that only verifies could not fetch the issuer's public keys. It uses the keys that it has until they
    /// are too old.
    KeyFetchFailed,
    /// A service that only verifies could not fetch the issuer's public keys for too long. All requests with a token
    /// get 503 until the keys are fetched again.
    KeysTooOld,
    /// The setting [`insecure_plain_http`](crate::CookieOptions::insecure_plain_http) is on, so the cookies have no
    /// `Secure`.
    InsecurePlainHttp,
    /// A user signed in on a page that was loaded over plain HTTP from another machine. The browser drops `Secure`
    /// cookies, so the user is not signed in. Reported only once, for the first such host.
    SecureCookiesOverPlainHttp {
        /// The host, as the browser named it.
        host: String,
    },
    /// The claims are too large, so no cookies or tokens were written.
    CookieTooLarge,
    /// Claims cannot be written as JSON, or this JSON cannot be read back as the application's type. The
    /// [cause](crate::Event::cause) names the member.
    ClaimsUnreadable,
    /// No token was minted: the signing key failed, or this instance has only keys for verification.
    SigningFailed,
    /// This instance uses other keys from now on.
    KeysChanged {
        /// The name and the step of each key, such as `k3 signing, k4 published, k2 retired`.
        keys: String,
        /// The names of the keys whose tokens are invalid from now on.
        pulled: Vec<String>,
    },
    /// The key file cannot be used. This instance keeps the keys that are in force. Each mistake is reported once. The
    /// [cause](crate::Event::cause) names the mistake.
    KeyFileFailed,
    /// A key signs tokens, although this instance did not publish the key before, or not for long enough. Other
    /// instances, and services that verify by the JWKS route, may not have the key yet.
    KeyPromotedEarly,
    /// A sign-in or sign-out through an OpenID Connect provider failed.
    OidcFailed {
        /// The reason: `attempt` (this browser did not begin the attempt, or the attempt was already used or is too
        /// old), `issuer` (the answer is from another provider), `provider` (the provider sent an error), `code`,
        /// `token_response`, `id_token`, `nonce`, `auth_time`, `userinfo`, `application` (the hook refused the user),
        /// `sign_in`, `index` (the store failed), `logged_out` (the user signed out at the provider in the meantime),
        /// `discovery`, `unavailable` (discovery failed less than 2 s ago), `request` (the provider did not answer),
        /// `sign_out`, `random` or `seal`.
        why: &'static str,
    },
    /// An OpenID Connect provider reported the end of a session at the provider. The sessions of this application that
    /// belong to that session were revoked.
    LoggedOutByProvider {
        /// The number of revoked sessions.
        sessions: usize,
    },
    /// A logout token was refused.
    LogoutTokenRefused {
        /// The reason: `malformed`, `algorithm`, `type`, `unknown_key`, `signature`, `claims`, `issuer`, `audience`,
        /// `time`, `event`, `nonce` or `replayed`. For the reasons from `claims` on, the provider has signed the token.
        why: &'static str,
    },
    /// A provider's access token was renewed.
    UpstreamRenewed {
        /// The name of the provider.
        provider: Arc<str>,
    },
    /// A provider's access token was not renewed. The [cause](crate::Event::cause) says more.
    UpstreamFailed {
        /// The name of the provider.
        provider: Arc<str>,
        /// The reason: `unavailable` (the provider failed, and the tokens stay), `refused` (the user must connect the
        /// account again), `interrupted` (the user must connect the account again, because an instance died or lost the
        /// store after the provider's answer and before its own write), `unwritten` (the store did not take the new
        /// tokens) or `unreadable` (the tokens are sealed with a key that is not in the key ring, or were moved in the
        /// database).
        why: &'static str,
    },
    /// A browser registered a key of its device for a session. The binding is provisional until a later proof confirms
    /// it.
    DeviceRegistered,
    /// A session is bound to a device from now on: each renewal needs a proof of the device's key.
    DeviceConfirmed,
    /// A renewal of a bound session was refused, because it had no valid proof of the device's key. The session was not
    /// revoked. Two kinds of clients cause this event: a client with copied cookies, and a browser whose refresh
    /// failed. A proof of the right key with an expired challenge does not cause it. Reported at most once a minute for
    /// each session, on each instance.
    #[doc(alias = "token theft")]
    DeviceProofMissing,
    /// A proof of a device's key was refused.
    DeviceProofInvalid {
        /// The reason: `malformed`, `type`, `algorithm`, `key`, `challenge` (expired, or of another session),
        /// `signature` (of a registration), `other_key` (the session is bound to another key), `bound` (a registration
        /// was refused, because the session already has a key, or because the binding window is over) or `script` (a
        /// script sent a registration by `fetch`). The last three reasons need a valid refresh token.
        why: &'static str,
    },
    /// A hook of the application panicked.
    HookPanicked {
        /// The hook: `on_event`, `reload_claims`, `origin`, `compare_origin`, `passive`, `readable_cookie`, `oidc` (the
        /// sign-in hook) or `renew` (of a vault).
        hook: &'static str,
    },
    /// The Tokio runtime has no timers (`Builder::enable_time`). The feed is not followed, so each request asks the
    /// store. Store calls have no deadline. [`Session::ended`](crate::Session::ended) does not notice that a session
    /// expires.
    NoTimers,
    /// A request got 500 or 503, and no other event has the reason. The [cause](crate::Event::cause) has it.
    InternalError {
        /// The operation that failed.
        operation: &'static str,
    },
}

impl EventKind {
    /// The kind for `error`. Because of `error`, no token or cookie was written.
    pub(crate) const fn unwritten(error: &MintError) -> Self {
        match error {
            MintError::TooLong { .. } => Self::CookieTooLarge,
            MintError::Signing(_) => Self::SigningFailed,
            MintError::NotJson(_)
            | MintError::DuplicateMember
            | MintError::NotReadable(_)
            | MintError::Readable(_) => Self::ClaimsUnreadable,
        }
    }

    /// The name of the kind. The name does not change in later versions. If the OWASP logging vocabulary has a word for
    /// the event, the name is this word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignedIn => "session_created",
            Self::Renewed(_) => "session_renewed",
            Self::Refused(Refusal::Expired) => "session_expired",
            Self::Refused(_) => "session_refused",
            Self::AccessTokenInvalid(_) => "access_token_invalid",
            Self::RefreshTokenInvalid(_) => "refresh_token_invalid",
            Self::ReuseDetected => "authn_token_reuse",
            Self::ReuseTolerated => "authn_token_reuse_tolerated",
            Self::SuccessorUnconfirmed => "session_successor_unconfirmed",
            Self::LostWriteRepaired => "session_lost_write_repaired",
            Self::Revoked { .. } => "authn_token_revoked",
            Self::EverythingRevoked => "session_everything_revoked",
            Self::RunIdRestored => "session_run_id_restored",
            Self::TooManySessions => "excess_sessions_exceeded",
            Self::RevokedByApplication { .. } => "session_revoked_by_application",
            Self::ReloadFailed => "session_reload_failed",
            Self::ClaimsUpdated => "session_claims_updated",
            Self::MarkedStale => "session_marked_stale",
            Self::Reauthenticated => "authn_reauthenticated",
            Self::OriginChanged(_) => "session_origin_changed",
            Self::ConflictingCookies => "session_conflicting_cookies",
            Self::CrossSiteRefused => "malicious_csrf",
            Self::StoreFailed { .. } => "session_store_failed",
            Self::FeedGap => "session_feed_gap",
            Self::FeedLagging => "session_feed_lagging",
            Self::FeedRecovered => "session_feed_recovered",
            Self::ClockStepped { .. } => "session_clock_stepped",
            Self::KeyFetchFailed => "session_key_fetch_failed",
            Self::KeysTooOld => "session_keys_too_old",
            Self::InsecurePlainHttp => "session_insecure_plain_http",
            Self::SecureCookiesOverPlainHttp { .. } => "session_secure_cookies_over_plain_http",
            Self::CookieTooLarge => "session_cookie_too_large",
            Self::ClaimsUnreadable => "session_claims_unreadable",
            Self::SigningFailed => "session_signing_failed",
            Self::KeysChanged { .. } => "session_keys_changed",
            Self::KeyFileFailed => "session_key_file_failed",
            Self::KeyPromotedEarly => "session_key_promoted_early",
            Self::OidcFailed { .. } => "oidc_failed",
            Self::LoggedOutByProvider { .. } => "oidc_logged_out_by_provider",
            Self::LogoutTokenRefused { .. } => "oidc_logout_token_refused",
            Self::UpstreamRenewed { .. } => "upstream_token_renewed",
            Self::UpstreamFailed { .. } => "upstream_token_failed",
            Self::DeviceRegistered => "device_registered",
            Self::DeviceConfirmed => "device_confirmed",
            Self::DeviceProofMissing => "device_proof_missing",
            Self::DeviceProofInvalid { .. } => "device_proof_invalid",
            Self::HookPanicked { .. } => "session_hook_panicked",
            Self::NoTimers => "session_no_timers",
            Self::InternalError { .. } => "session_internal_error",
        }
    }

    /// The detail of the event: for example, how a session was renewed, why a request was refused, or which operation
    /// failed. It does not change in later versions. `None` for a kind without a detail.
    #[must_use]
    pub const fn outcome(&self) -> Option<&'static str> {
        Some(match self {
            Self::Renewed(how) => renewed(*how),
            Self::Refused(why) => refusal(*why),
            Self::AccessTokenInvalid(why) | Self::RefreshTokenInvalid(why) => invalid(*why),
            Self::StoreFailed { operation, .. } | Self::InternalError { operation } => operation,
            Self::HookPanicked { hook } => hook,
            Self::KeysChanged { pulled, .. } if !pulled.is_empty() => "pulled",
            Self::OidcFailed { why }
            | Self::LogoutTokenRefused { why }
            | Self::DeviceProofInvalid { why }
            | Self::UpstreamFailed { why, .. } => why,
            Self::ClockStepped { ahead: true, .. } => "ahead",
            Self::ClockStepped { ahead: false, .. } => "back",
            Self::OriginChanged(OriginVerdict::Ignore) => "ignore",
            Self::OriginChanged(OriginVerdict::Report) => "report",
            Self::OriginChanged(OriginVerdict::StepUp) => "step_up",
            Self::OriginChanged(OriginVerdict::Refuse) => "refuse",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    /// The variants in the function `name` in this file, and their names.
    fn names() -> Vec<(&'static str, &'static str)> {
        let (_, from) = include_str!("kind.rs").split_once("fn name(&self)").expect("the function");
        let (body, _) = from.split_once("fn outcome(&self)").expect("the next one");
        let arms = body.split("Self::").skip(1).map(|arm| {
            let variant = arm.split(|c: char| !c.is_alphanumeric()).next().expect("a variant");
            (variant, arm.split('"').nth(1).expect("a name"))
        });
        arms.collect()
    }

    #[test]
    fn the_manual_lists_each_event_with_its_level() {
        let page = include_str!("../manual/events.md");
        let levels = ["debug", "info", "warning", "error", "critical"];
        assert!(names().len() > 25);
        for (variant, name) in names() {
            let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` | `{variant}` |")));
            let line = line.unwrap_or_else(|| panic!("add {name}, {variant} to src/manual/events.md"));
            let level = line.split('|').nth(3).map(str::trim).unwrap_or_default();
            assert!(levels.contains(&level), "{line}");
        }
    }
}
