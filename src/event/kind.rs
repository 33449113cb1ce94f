//! The kinds of events, and their names.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::outcome::{Renewed, invalid, refusal, renewed};
use crate::{
    origin::OriginVerdict,
    protocol::Refusal,
    token::{InvalidToken, MintError},
};

/// What happened: the [table](crate::manual::events#all-events) has each kind, with its level and what to do. The
/// [name](Self::name) and the [outcome](Self::outcome) of a kind do not change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A session began.
    SignedIn,
    /// A session was renewed, in this way.
    Renewed(Renewed),
    /// A session was not served.
    Refused(Refusal),
    /// An access token was invalid. With cookies, the refresh token decides.
    AccessTokenInvalid(InvalidToken),
    /// A refresh token was invalid.
    RefreshTokenInvalid(InvalidToken),
    /// **Critical.** Refresh token reuse: a refresh token was used that had been superseded for longer than the grace
    /// period, so an attacker may have a copy. The session was revoked. [`Event::reuse`](crate::Event::reuse) has how
    /// old the token was, and whether it came from the recorded origin.
    #[doc(alias = "token theft")]
    #[doc(alias = "reuse")]
    #[doc(alias = "replay")]
    ReuseDetected,
    /// The same, but the session stays:
    /// [`keep_session_on_reuse_at_recorded_origin`](crate::SessionsBuilder::keep_session_on_reuse_at_recorded_origin).
    ReuseTolerated,
    /// The successor of a refresh token was handed out several times, more than a grace period apart, and was not
    /// confirmed: two clients may hold the predecessor. A client whose responses are lost looks the same.
    SuccessorUnconfirmed,
    /// The store had lost a rotation, as after a failover. The refresh token repaired it.
    LostWriteRepaired,
    /// Sessions were revoked, by a sign-out or otherwise.
    Revoked {
        /// How many.
        sessions: usize,
    },
    /// [`revoke_everything`](crate::Sessions::revoke_everything) revoked all sessions: there is a new run
    /// ID, and all sessions of an older run ID are invalid.
    EverythingRevoked,
    /// The store returned an older run ID than before, as after a failover or a restored backup. The
    /// newest known one was written back. The store may have lost other revocations, too.
    RunIdRestored,
    /// A sign-in was refused: the subject has the maximum number of sessions.
    TooManySessions,
    /// The claims reload hook revoked a session.
    RevokedByApplication {
        /// Why, in the application's words.
        reason: Cow<'static, str>,
    },
    /// The claims reload hook failed. The session was neither renewed nor revoked.
    ReloadFailed,
    /// The claims of a session were replaced.
    ClaimsUpdated,
    /// The access tokens of a subject are renewed at their next use.
    MarkedStale,
    /// The user of a session re-authenticated.
    Reauthenticated,
    /// A session was used from another origin than the recorded one, and `compare_origin` decided.
    OriginChanged(OriginVerdict),
    /// Two different values had the name of one of the cookies.
    ConflictingCookies,
    /// A request from another origin with an unsafe method was refused. The cause has its method, host and origin.
    CrossSiteRefused,
    /// The store failed this operation, or took too long.
    StoreFailed {
        /// Which one.
        operation: &'static str,
        /// How: `unavailable`, `late`, `full`, `configuration`, `unsupported` or `corrupt`. The
        /// [cause](crate::Event::cause) says more.
        why: &'static str,
    },
    /// The store's feed has a gap, so revocations may be missing here. Access tokens that were issued before are
    /// renewed at their next use.
    FeedGap,
    /// The store's feed was not read for longer than its bound: revocations by other instances may be missing here.
    /// The cause says why.
    FeedLagging,
    /// The store's feed was read again.
    FeedRecovered,
    /// The wall clock was stepped by more than 5 s. Access tokens that were issued at a time that it
    /// showed before are checked with the store once.
    ClockStepped {
        /// Whether it was stepped ahead. Otherwise it was stepped back.
        ahead: bool,
        /// By how much.
        by: Duration,
    },
    /// The issuer's public keys could not be fetched. Known keys are used until they are too old.
    KeyFetchFailed,
    /// The issuer's public keys could not be fetched for too long: all tokens get 503 until they are fetched again.
    KeysTooOld,
    /// The builder was told to send cookies without `Secure`.
    InsecurePlainHttp,
    /// A user signed in on a page that was loaded over plain HTTP from another machine. The browser drops `Secure`
    /// cookies, so the user is not signed in. Reported for the first such host only.
    SecureCookiesOverPlainHttp {
        /// The host, as the browser named it.
        host: String,
    },
    /// Cookies or tokens were not written: the claims are too large.
    CookieTooLarge,
    /// Claims cannot be written as JSON, or cannot be read back from it as the application's type. The
    /// [cause](crate::Event::cause) names the member.
    ClaimsUnreadable,
    /// The signing key failed, or it is for verification only. No token was minted.
    SigningFailed,
    /// Other keys are in force on this instance.
    KeysChanged {
        /// The name and the step of each: `k3 signing, k4 published, k2 retired`.
        keys: String,
        /// The names of the keys whose tokens are void from now on.
        pulled: Vec<String>,
    },
    /// The key file cannot be used. The keys in force stay. Reported once per mistake; the cause says which.
    KeyFileFailed,
    /// A key signs that was not published here before, or not long enough. Other instances, or services that verify by
    /// the JWKS route, may not have it yet.
    KeyPromotedEarly,
    /// A sign-in or sign-out through an OpenID Connect provider failed.
    OidcFailed {
        /// Why: `attempt` (the browser did not begin it, or it was used), `issuer`, `provider` (it sent an error),
        /// `code`, `token_response`, `id_token`, `nonce`, `auth_time`, `userinfo`, `application` (the hook refused),
        /// `sign_in`, `index` (the store), `logged_out` (at the provider, meanwhile), `discovery`, `unavailable`
        /// (discovery failed a moment ago), `request` (no answer), `sign_out`, `random` or `seal`.
        why: &'static str,
    },
    /// An OpenID Connect provider said that a session there is over, and sessions here were revoked.
    LoggedOutByProvider {
        /// How many.
        sessions: usize,
    },
    /// A logout token was refused.
    LogoutTokenRefused {
        /// Why: `malformed`, `algorithm`, `type`, `unknown_key`, `signature`, `claims`, `issuer`, `audience`, `time`,
        /// `event`, `nonce` or `replayed`. From `claims` on, the provider has signed it.
        why: &'static str,
    },
    /// A provider's access token was renewed.
    UpstreamRenewed {
        /// Which provider.
        provider: Arc<str>,
    },
    /// A provider's access token was not renewed. The cause says more.
    UpstreamFailed {
        /// Which provider.
        provider: Arc<str>,
        /// Why: `unavailable` (the tokens stay), `refused` (the user must sign in there again), `interrupted` (the
        /// same, after an instance died or lost the store between the provider's answer and its own write),
        /// `unwritten` (there are new tokens, and the store did not take them), `unreadable` (sealed with a key that is
        /// not in the ring, or moved in the database).
        why: &'static str,
    },
    /// A browser registered a key of its device for a session. The binding is provisional until a later proof.
    DeviceRegistered,
    /// A session is bound to a device from now on: no renewal without a proof of the device's key.
    DeviceConfirmed,
    /// A renewal of a bound session had no proof of the device's key, or an invalid one, so it was refused, and the
    /// session stays. A client with copied cookies looks like this; so does a browser whose refresh failed. A proof of
    /// the right key with an expired challenge is not reported here. Reported once a minute for each session, on each
    /// instance.
    #[doc(alias = "token theft")]
    DeviceProofMissing,
    /// A proof of a device's key was refused.
    DeviceProofInvalid {
        /// Why: `malformed`, `type`, `algorithm`, `key`, `challenge` (expired, or of another session), `signature` (at
        /// the registration), `other_key` (the session is bound to another key), `bound` (a registration for a session
        /// that has a key already, or too long after its sign-in) or `script` (a registration by `fetch`). The last
        /// three need a valid refresh token.
        why: &'static str,
    },
    /// A hook of the application panicked.
    HookPanicked {
        /// Which one: `on_event`, `reload_claims`, `origin`, `compare_origin`, `passive`, `readable_cookie`, `oidc`
        /// (its sign-in hook) or `renew` (of a vault).
        hook: &'static str,
    },
    /// The Tokio runtime has no timers (`Builder::enable_time`). The feed is not followed, so each request asks the
    /// store. Store calls have no deadline, and [`Session::ended`](crate::Session::ended) does not notice expiry.
    NoTimers,
    /// A request was answered with 500 or 503, and no other event says why. The cause does.
    InternalError {
        /// The operation that failed.
        operation: &'static str,
    },
}

impl EventKind {
    /// No token or cookie was written, because of `error`.
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

    /// A stable name, in the words of the OWASP logging vocabulary where it has one.
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

    /// The detail of the name, as stable as the name: how a session was renewed, why it was refused, or which operation
    /// failed. None for kinds without such a detail.
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
