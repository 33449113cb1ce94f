//! One typed event for each decision, for operators: what the caller must not learn.

use std::{fmt, sync::Arc};

use crate::{
    id::{SessionId, SessionTag},
    protocol::Refusal,
    token::InvalidToken,
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
    /// somebody holds a stolen copy. The session has ended.
    ReuseDetected,
    /// The store had forgotten a rotation that a token proves, as after a failover.
    LostWriteRepaired,
    /// Sessions were ended: signed out, or revoked.
    Revoked {
        /// How many.
        sessions: usize,
    },
    /// A new run began, and every session ended.
    RunRotated,
    /// Two different values came under one of our cookies' names.
    ConflictingCookies,
    /// An unsafe request came from another site.
    CrossSiteRefused,
    /// The store failed this operation, or took too long.
    StoreFailed {
        /// Which one.
        operation: &'static str,
    },
    /// The store's feed has a gap: until one access token's lifetime has passed, a revocation may
    /// be missing here. Access tokens are not trusted until then.
    FeedGap,
    /// The store's feed was not heard of for longer than its bound: revocations by other instances
    /// may not be known here.
    FeedLagging,
    /// The store's feed is heard of again.
    FeedRecovered,
    /// The builder was told to send cookies in the clear.
    InsecurePlainHttp,
    /// Cookies could not be written, for the claims have grown too large for one.
    CookieTooLarge,
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
    /// A theft.
    Critical,
}

/// Something that happened, and to whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// In which realm.
    pub realm: Arc<str>,
    /// To which session, as far as a log may know: see [`SessionId::tag`].
    pub session: Option<SessionTag>,
    /// To whom. Only ever what a good signature or the application said.
    pub subject: Option<Arc<str>>,
}

impl EventKind {
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
            Self::LostWriteRepaired => "session_lost_write_repaired",
            Self::Revoked { .. } => "authn_token_revoked",
            Self::RunRotated => "session_run_rotated",
            Self::ConflictingCookies => "session_conflicting_cookies",
            Self::CrossSiteRefused => "malicious_csrf",
            Self::StoreFailed { .. } => "session_store_failed",
            Self::FeedGap => "session_feed_gap",
            Self::FeedLagging => "session_feed_lagging",
            Self::FeedRecovered => "session_feed_recovered",
            Self::InsecurePlainHttp => "session_insecure_plain_http",
            Self::CookieTooLarge => "session_cookie_too_large",
        }
    }

    /// How much it matters. A flood of bad tokens is never more than [`Severity::Debug`].
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ReuseDetected => Severity::Critical,
            Self::LostWriteRepaired
            | Self::ConflictingCookies
            | Self::CrossSiteRefused
            | Self::StoreFailed { .. }
            | Self::FeedGap
            | Self::FeedLagging
            | Self::InsecurePlainHttp
            | Self::CookieTooLarge => Severity::Warning,
            Self::SignedIn
            | Self::Renewed(_)
            | Self::Revoked { .. }
            | Self::RunRotated
            | Self::FeedRecovered => Severity::Info,
            Self::Refused(Refusal::NoToken | Refusal::BadToken | Refusal::CrossSite) => Severity::Debug,
            Self::Refused(_) => Severity::Info,
            Self::AccessTokenInvalid(_) | Self::RefreshTokenInvalid(_) => Severity::Debug,
        }
    }
}

/// What an application is told with.
pub(crate) type Hook = dyn Fn(&Event) + Send + Sync;

/// Where events go: to the application's hook, and to `tracing`.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) realm: Arc<str>,
    pub(crate) hook: Option<Arc<Hook>>,
}

impl Events {
    /// Something that is of no one session.
    pub(crate) fn note(&self, kind: EventKind) {
        self.emit(kind, None, None);
    }

    /// Something that happened to a session.
    pub(crate) fn of(&self, kind: EventKind, session: &SessionId, subject: &Arc<str>) {
        self.emit(kind, Some(session), Some(subject));
    }

    fn emit(&self, kind: EventKind, session: Option<&SessionId>, subject: Option<&Arc<str>>) {
        #[cfg(feature = "tracing")]
        trace(&kind, &self.realm, session);
        if let Some(hook) = &self.hook {
            let session = session.map(SessionId::tag);
            hook(&Event { kind, realm: self.realm.clone(), session, subject: subject.cloned() });
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("hook", &self.hook.is_some()).finish_non_exhaustive()
    }
}

#[cfg(feature = "tracing")]
fn trace(kind: &EventKind, realm: &str, session: Option<&SessionId>) {
    macro_rules! at {
        ($level:ident) => {
            if tracing::enabled!(tracing::Level::$level) {
                let session = session.map(|session| tracing::field::display(session.tag()));
                tracing::event!(tracing::Level::$level, event = kind.name(), detail = ?kind, realm, session);
            }
        };
    }
    match kind.severity() {
        Severity::Debug => at!(DEBUG),
        Severity::Info => at!(INFO),
        Severity::Warning => at!(WARN),
        Severity::Critical => at!(ERROR),
    }
}
