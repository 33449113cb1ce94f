//! Why timing settings are refused.

use std::time::Duration;

/// Why a [`Timing`](super::Timing) is refused, or why the timeouts of a sign-in are refused. Each variant has the
/// refused values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A duration is shorter than a millisecond.
    #[error("{name} must be at least 1 ms, but is {value:?}")]
    TooShort {
        /// The name of the duration.
        name: &'static str,
        /// The value of the duration.
        value: Duration,
    },
    /// The rotation interval is too short. A rotation could happen before the cookies of an earlier response arrive.
    /// This would sign legitimate clients out.
    #[error(
        "rotation_interval is {rotation_interval:?}, but must be longer than write_window ({write_window:?}) + \
         2 * grace ({grace:?}), or legitimate clients are signed out: raise rotation_interval, or lower \
         write_window or grace"
    )]
    RotationIntervalTooShort {
        /// The rotation interval `M`.
        rotation_interval: Duration,
        /// The write window `W`.
        write_window: Duration,
        /// The grace period `G`.
        grace: Duration,
    },
    /// The idle timeout is too short. A session in constant use could expire.
    #[error(
        "idle_timeout is {idle_timeout:?}, but must be at least access_ttl ({access_ttl:?}) + rotation_interval \
         ({rotation_interval:?}) + write_window ({write_window:?}), or sessions in constant use expire: raise \
         idle_timeout, or lower access_ttl, rotation_interval or write_window"
    )]
    IdleTimeoutTooShort {
        /// The idle timeout.
        idle_timeout: Duration,
        /// The access token's lifetime.
        access_ttl: Duration,
        /// The rotation interval `M`.
        rotation_interval: Duration,
        /// The write window `W`.
        write_window: Duration,
    },
    /// The absolute timeout is shorter than the idle timeout.
    #[error(
        "absolute_timeout is {absolute_timeout:?}, but must be at least idle_timeout ({idle_timeout:?}): raise \
         absolute_timeout, or lower idle_timeout"
    )]
    AbsoluteTimeoutTooShort {
        /// The absolute timeout.
        absolute_timeout: Duration,
        /// The idle timeout.
        idle_timeout: Duration,
    },
    /// A sign-in asked for a longer timeout than the policy's.
    #[error("{name} must be at most the policy's {longest:?}, but is {value:?}")]
    LongerThanPolicy {
        /// The name of the timeout.
        name: &'static str,
        /// The timeout that the sign-in asked for.
        value: Duration,
        /// The policy's timeout.
        longest: Duration,
    },
    /// `renew_before` is too long. Access tokens could be renewed at their first use.
    #[error(
        "renew_before is {renew_before:?}, but must be shorter than access_ttl ({access_ttl:?}): lower \
         renew_before, or raise access_ttl"
    )]
    RenewBeforeTooLong {
        /// How long before its expiry an access token may already be renewed.
        renew_before: Duration,
        /// The access token's lifetime.
        access_ttl: Duration,
    },
}
