//! What can happen, and what it is called.

use std::{borrow::Cow, time::Duration};

use crate::{
    origin::OriginVerdict,
    protocol::Refusal,
    token::{InvalidToken, MintError},
};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A session began.
    SignedIn,
    /// A session was renewed, in this way.
    Renewed(Renewed),
    /// A session was not renewed.
    Refused(Refusal),
    /// An access token was not one of ours. The refresh token decides.
    AccessTokenInvalid(InvalidToken),
    /// A refresh token was not one of ours.
    RefreshTokenInvalid(InvalidToken),
    /// **Critical.** A refresh token was used that had been superseded for longer than its grace:
    /// somebody holds a stolen copy. The session has ended. [`Event::reuse`](crate::Event::reuse) says how
    /// old the token was, and whether it came from the recorded origin.
    ReuseDetected,
    /// The same, but the session goes on, as
    /// [the builder was told](crate::SessionsBuilder::keep_session_on_reuse_at_recorded_origin).
    ReuseTolerated,
    /// The successor of a refresh token was handed out again and again, more than a grace apart, and was
    /// never confirmed: two clients may hold the predecessor. Clients whose responses are lost again and
    /// again look the same.
    SuccessorUnconfirmed,
    /// The store had forgotten a rotation that a token proves, as after a failover.
    LostWriteRepaired,
    /// Sessions were ended: signed out, or revoked.
    Revoked {
        /// How many.
        sessions: usize,
    },
    /// A new run began, and every session ended.
    RunRotated,
    /// The store named an older run ID than it did before, as after a failover or from a restored
    /// backup. The newest one that is known here was written back, so no session of an older run is
    /// revived. Other revocations may be lost.
    RunIdRestored,
    /// A subject has as many sessions as it may have, and was refused another.
    TooManySessions,
    /// The application said of a user that their session must not go on, and it has ended.
    RevokedByApplication {
        /// Why, in the application's words.
        reason: Cow<'static, str>,
    },
    /// The application could not say whether a session may go on. It was neither renewed nor ended.
    ReloadFailed,
    /// A session got other claims.
    ClaimsUpdated,
    /// The access tokens of a subject are renewed at their next use.
    MarkedStale,
    /// The subject of a session proved again who they are.
    Proved,
    /// A session was used from elsewhere than it was opened, and the application said what to do.
    OriginChanged(OriginVerdict),
    /// Two different values came under one of our cookies' names.
    ConflictingCookies,
    /// An unsafe request came from another site. The cause of the event names its method, host and origin.
    CrossSiteRefused,
    /// The store failed this operation, or took too long.
    StoreFailed {
        /// Which one.
        operation: &'static str,
        /// How: `unavailable`, `late`, `full`, `configuration`, `unsupported` or `corrupt`. The
        /// [cause](crate::Event::cause) says more.
        why: &'static str,
    },
    /// The store's feed has a gap: until one access token's lifetime has passed, a revocation may
    /// be missing here. Access tokens are not trusted until then.
    FeedGap,
    /// The store's feed was not heard of for longer than its bound: revocations by other instances
    /// may not be known here.
    FeedLagging,
    /// The store's feed is heard of again.
    FeedRecovered,
    /// The wall clock was stepped by more than 5 s. Access tokens that were issued at a time that it
    /// showed before are checked with the store once.
    ClockStepped {
        /// Ahead, or else back.
        ahead: bool,
        /// By how much.
        by: Duration,
    },
    /// The builder was told to send cookies in the clear.
    InsecurePlainHttp,
    /// A user signed in on a page that a browser loaded over plain HTTP, and not from its own machine. It
    /// drops `Secure` cookies, so the user is not signed in. Raised for the first such host only.
    SecureCookiesOverPlainHttp {
        /// The host, as the browser named it.
        host: String,
    },
    /// Cookies or tokens were not written: the claims are too large for one.
    CookieTooLarge,
    /// Claims cannot be written as JSON, or not be read back from it as the application's type. The
    /// [cause](crate::Event::cause) names the member.
    ClaimsUnreadable,
    /// The signing key failed, or it is for verification only. No token was minted.
    SigningFailed,
    /// A hook of the application panicked. What was asked of it counts as not answered.
    HookPanicked {
        /// Which one: `on_event`, `reload_claims`, `origin`, `compare_origin`, `passive` or
        /// `readable_cookie`.
        hook: &'static str,
    },
    /// The Tokio runtime has no timers (`Builder::enable_time`). Requests are served, but each asks
    /// the store, for the feed of revocations is not followed; calls of the store have no deadline; and
    /// [`Session::ended`](crate::Session::ended) does not see a session run out.
    NoTimers,
    /// A request was answered with 500, and no other event says why.
    InternalError {
        /// What was to be done.
        operation: &'static str,
    },
}

/// How a session was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Renewed {
    /// The refresh token was rotated.
    Advanced,
    /// A new access token for the current refresh token.
    Reissued,
    /// The same, and the current refresh token was seen in use for the first time.
    Confirmed,
    /// The predecessor was presented and served as the current one.
    Replayed,
    /// The store was behind the token, and has caught up.
    FastForwarded,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Anybody can cause it at will.
    Debug,
    /// The course of things.
    Info,
    /// An operator should know.
    Warning,
    /// A fault of the application, its configuration or its data: it does not go away without a
    /// change. Requests are answered with 500, or sessions cannot be renewed.
    Error,
    /// Refresh token reuse.
    Critical,
}

impl EventKind {
    /// No token or cookie was written, because of `error`.
    pub(crate) const fn unwritten(error: &MintError) -> Self {
        match error {
            MintError::TooLong(_) => Self::CookieTooLarge,
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
            Self::RunRotated => "session_run_rotated",
            Self::RunIdRestored => "session_run_id_restored",
            Self::TooManySessions => "excess_sessions_exceeded",
            Self::RevokedByApplication { .. } => "session_revoked_by_application",
            Self::ReloadFailed => "session_reload_failed",
            Self::ClaimsUpdated => "session_claims_updated",
            Self::MarkedStale => "session_marked_stale",
            Self::Proved => "authn_proof_recorded",
            Self::OriginChanged(_) => "session_origin_changed",
            Self::ConflictingCookies => "session_conflicting_cookies",
            Self::CrossSiteRefused => "malicious_csrf",
            Self::StoreFailed { .. } => "session_store_failed",
            Self::FeedGap => "session_feed_gap",
            Self::FeedLagging => "session_feed_lagging",
            Self::FeedRecovered => "session_feed_recovered",
            Self::ClockStepped { .. } => "session_clock_stepped",
            Self::InsecurePlainHttp => "session_insecure_plain_http",
            Self::SecureCookiesOverPlainHttp { .. } => "session_secure_cookies_over_plain_http",
            Self::CookieTooLarge => "session_cookie_too_large",
            Self::ClaimsUnreadable => "session_claims_unreadable",
            Self::SigningFailed => "session_signing_failed",
            Self::HookPanicked { .. } => "session_hook_panicked",
            Self::NoTimers => "session_no_timers",
            Self::InternalError { .. } => "session_internal_error",
        }
    }

    /// The name's finer part, as stable as it is: how a session was renewed, why it was refused, which
    /// operation failed. None where the name says it all.
    #[must_use]
    pub const fn outcome(&self) -> Option<&'static str> {
        Some(match self {
            Self::Renewed(how) => renewed(*how),
            Self::Refused(why) => refusal(*why),
            Self::AccessTokenInvalid(why) | Self::RefreshTokenInvalid(why) => invalid(*why),
            Self::StoreFailed { operation, .. } | Self::InternalError { operation } => operation,
            Self::HookPanicked { hook } => hook,
            Self::ClockStepped { ahead: true, .. } => "ahead",
            Self::ClockStepped { ahead: false, .. } => "back",
            Self::OriginChanged(OriginVerdict::Ignore) => "ignore",
            Self::OriginChanged(OriginVerdict::Report) => "report",
            Self::OriginChanged(OriginVerdict::StepUp) => "step_up",
            Self::OriginChanged(OriginVerdict::Refuse) => "refuse",
            _ => return None,
        })
    }

    /// How much it matters. What anybody can cause, without a session, is never more than
    /// [`Severity::Debug`].
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::ReuseDetected => Severity::Critical,
            Self::StoreFailed { why: "configuration" | "corrupt" | "unsupported", .. }
            | Self::CookieTooLarge
            | Self::ClaimsUnreadable
            | Self::SigningFailed
            | Self::HookPanicked { .. }
            | Self::NoTimers
            | Self::InternalError { .. } => Severity::Error,
            Self::LostWriteRepaired
            | Self::RunIdRestored
            | Self::ReuseTolerated
            | Self::SuccessorUnconfirmed
            | Self::Refused(Refusal::Stale)
            | Self::TooManySessions
            | Self::ReloadFailed
            | Self::OriginChanged(_)
            | Self::StoreFailed { .. }
            | Self::FeedGap
            | Self::FeedLagging
            | Self::ClockStepped { .. }
            | Self::InsecurePlainHttp
            | Self::SecureCookiesOverPlainHttp { .. }
            // A key that the ring vouches for, and has not got: keys were rolled out in the wrong order.
            | Self::RefreshTokenInvalid(InvalidToken::NewKey)
            // A deploy with other claims, another realm or an empty store may have signed all users out.
            // Each of these has a good signature.
            | Self::AccessTokenInvalid(InvalidToken::Unreadable)
            | Self::RefreshTokenInvalid(InvalidToken::Audience)
            | Self::Refused(Refusal::Claims | Refusal::OtherRun) => Severity::Warning,
            Self::SignedIn
            | Self::Renewed(_)
            | Self::Revoked { .. }
            | Self::RunRotated
            | Self::RevokedByApplication { .. }
            | Self::ClaimsUpdated
            | Self::MarkedStale
            | Self::Proved
            | Self::FeedRecovered => Severity::Info,
            Self::Refused(Refusal::NoToken | Refusal::BadToken | Refusal::CrossSite) => Severity::Debug,
            Self::Refused(_) => Severity::Info,
            Self::AccessTokenInvalid(_)
            | Self::RefreshTokenInvalid(_)
            | Self::ConflictingCookies
            | Self::CrossSiteRefused => Severity::Debug,
        }
    }
}

const fn renewed(how: Renewed) -> &'static str {
    match how {
        Renewed::Advanced => "advanced",
        Renewed::Reissued => "reissued",
        Renewed::Confirmed => "confirmed",
        Renewed::Replayed => "replayed",
        Renewed::FastForwarded => "fast_forwarded",
    }
}

const fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::NoToken => "no_token",
        Refusal::BadToken => "bad_token",
        Refusal::Expired => "expired",
        Refusal::Unknown => "unknown",
        Refusal::OtherRun => "other_run",
        Refusal::Denylisted => "denylisted",
        Refusal::Reuse => "reuse",
        Refusal::Stale => "stale",
        Refusal::StaleClaims => "stale_claims",
        Refusal::Claims => "claims",
        Refusal::CrossSite => "cross_site",
        Refusal::Application => "application",
        Refusal::Origin => "origin",
    }
}

const fn invalid(why: InvalidToken) -> &'static str {
    match why {
        InvalidToken::TooLong => "too_long",
        InvalidToken::Malformed => "malformed",
        InvalidToken::Header => "header",
        InvalidToken::UnknownKey => "unknown_key",
        InvalidToken::NewKey => "new_key",
        InvalidToken::Signature => "signature",
        InvalidToken::Claims => "claims",
        InvalidToken::Unreadable => "unreadable",
        InvalidToken::Audience => "audience",
    }
}

#[cfg(test)]
mod tests {
    /// The string literals of the function `name` in this file.
    fn names() -> Vec<&'static str> {
        let (_, from) = include_str!("kind.rs").split_once("fn name(&self)").expect("the function");
        let (body, _) = from.split_once("fn outcome(&self)").expect("the next one");
        body.split('"').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_manual_lists_each_event_with_its_level() {
        let page = include_str!("../manual/events.md");
        let levels = ["debug", "info", "warning", "error", "critical"];
        assert!(names().len() > 25);
        for name in names() {
            let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let line = line.unwrap_or_else(|| panic!("add {name} to src/manual/events.md"));
            let level = line.split('|').nth(2).map(str::trim).unwrap_or_default();
            assert!(levels.contains(&level), "{line}");
        }
    }
}
