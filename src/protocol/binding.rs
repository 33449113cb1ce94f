//! Decides about the binding of a session to a key of the client's device.

use std::fmt;
#[cfg(any(feature = "device-bound", feature = "__search"))]
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::RotationTiming;
use crate::time::Timestamp;

/// The SHA-256 thumbprint of a public key (RFC 7638).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub [u8; 32]);

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(&*text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(de::Error::custom("not 32 bytes in base64url")),
        }
    }
}

/// The state of the device key in a session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The latest key that the client registered.
    pub key: Thumbprint,
    /// When the key was registered. A repeated registration of the same key sets this time again.
    pub registered_at: Timestamp,
    /// Whether a proof of `key` has confirmed the binding. This never becomes false again.
    pub confirmed: bool,
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// The times that limit when a session may be bound to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationLimits {
    /// When the user signed in, or last re-authenticated.
    pub authenticated_at: Timestamp,
    /// The binding window: how long after `authenticated_at` the session may be bound. An attacker who copies the
    /// cookies after the binding window cannot bind the session to another device, unless the user re-authenticates
    /// later.
    pub window: Duration,
    /// The lifetime of an access token. From a client in use, a proof of its key arrives at least once in this time.
    pub access_ttl: Duration,
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// What to do with the registration of a key. The registration has a valid proof of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationDecision {
    /// Bind the session to this key, provisionally. The session has no key, or already has this key provisionally, or
    /// has an abandoned key.
    Register,
    /// Keep the session's key. This key is confirmed, or the client may still confirm it.
    Refuse,
    /// Refuse the registration, because the binding window is over.
    RefuseLate,
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// Decides about a registration of `key`. `timing` is from the session's record.
///
/// A provisional key is replaced only if the key is abandoned: the client did not confirm it in time. Otherwise an
/// attacker with copied cookies could replace the client's key before the client confirms it.
#[must_use]
pub fn decide_registration(
    key: &Thumbprint,
    binding: Option<&Binding>,
    limits: &RegistrationLimits,
    timing: &RotationTiming,
    now: Timestamp,
) -> RegistrationDecision {
    match binding {
        Some(binding) if binding.confirmed => RegistrationDecision::Refuse,
        _ if now.since(limits.authenticated_at) > limits.window => RegistrationDecision::RefuseLate,
        Some(binding) if binding.key != *key && !is_abandoned(binding, limits, timing, now) => {
            RegistrationDecision::Refuse
        }
        Some(_) | None => RegistrationDecision::Register,
    }
}

/// What to do with a renewal, before the refresh token decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingDecision {
    /// The refresh token decides.
    Proceed,
    /// Write the confirmation of the binding to the record. Then the refresh token decides.
    Confirm,
    /// Refuse the renewal, because the binding is confirmed and the request has no proof. The session is not revoked.
    ProofRequired,
    /// Refuse the renewal and send a challenge, because the binding is confirmed and the proof is of another key.
    ///
    /// Do not tell the client to forget its key. A client may register two keys in parallel. Suppose that it sends this
    /// proof with key A, and then stores key B in place of key A, and that key B is the confirmed one. If the response
    /// told the client to forget its key, the client would forget key B.
    OtherKey,
}

/// Decides about a renewal of a session that may be bound to a key. `proven_key` is the key of which the request has a
/// valid proof. `timing` is from the session's record.
///
/// A proof confirms the binding if it comes at least `W + C + 2·G` after the registration. By default, this is 60 s +
/// 35 s + 2 · 45 s = 185 s. The [module](super#device-bound-sessions) says why, and explains the letters.
#[must_use]
pub fn decide_binding(
    binding: Option<&Binding>,
    proven_key: Option<&Thumbprint>,
    timing: &RotationTiming,
    now: Timestamp,
) -> BindingDecision {
    match (binding, proven_key) {
        (None, None) => BindingDecision::Proceed,
        (Some(binding), None) if binding.confirmed => BindingDecision::ProofRequired,
        (Some(_), None) => BindingDecision::Proceed,
        (Some(binding), Some(key)) if binding.key == *key => {
            match !binding.confirmed && is_old_enough_to_confirm(binding, timing, now) {
                true => BindingDecision::Confirm,
                false => BindingDecision::Proceed,
            }
        }
        (Some(binding), Some(_)) if binding.confirmed => BindingDecision::OtherKey,
        // Without a confirmed binding, the refresh token is enough. Here, too, the client is not told to forget its
        // key, for the reason at `OtherKey`.
        (_, Some(_)) => BindingDecision::Proceed,
    }
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// Whether the response to a request that renewed its session offers a registration. True if a registration of a new
/// key would be accepted now.
#[must_use]
pub fn offers_registration(
    binding: Option<&Binding>,
    limits: &RegistrationLimits,
    timing: &RotationTiming,
    now: Timestamp,
) -> bool {
    // A thumbprint that no real key has.
    let new_key = Thumbprint::default();
    decide_registration(&new_key, binding, limits, timing, now) == RegistrationDecision::Register
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// Whether a provisional key is abandoned. A client in use would have confirmed the key by `now`.
///
/// In the worst case, a proof of such a client arrives just before the key is old enough for a confirmation. The next
/// proof arrives at most one access token lifetime later, and confirms the key. By default, this is 185 s + 300 s = 485
/// s after the registration.
fn is_abandoned(
    binding: &Binding,
    limits: &RegistrationLimits,
    timing: &RotationTiming,
    now: Timestamp,
) -> bool {
    is_old_enough_to_confirm(binding, timing, now - limits.access_ttl)
}

/// Whether a proof may confirm the key. At this age, each response to the registration has arrived or is lost, and a
/// client that has the key keeps it, even after a crash.
fn is_old_enough_to_confirm(binding: &Binding, timing: &RotationTiming, now: Timestamp) -> bool {
    now >= binding.registered_at + timing.confirmation_age(false)
}

#[cfg(all(test, any(feature = "device-bound", feature = "__search")))]
mod tests {
    use super::*;

    const KEY: Thumbprint = Thumbprint([1; 32]);
    const OTHER: Thumbprint = Thumbprint([2; 32]);

    fn decided(confirmed: bool, proven_key: Option<Thumbprint>, age: u64) -> BindingDecision {
        let at = Timestamp::from_secs;
        let binding = Binding { key: KEY, registered_at: at(1000), confirmed };
        decide_binding(Some(&binding), proven_key.as_ref(), &RotationTiming::default(), at(1000 + age))
    }

    #[test]
    fn a_proof_confirms_the_binding_once_it_is_old_enough() {
        // 60 s + 35 s + 2 * 45 s = 185 s.
        assert_eq!(decided(false, Some(KEY), 184), BindingDecision::Proceed);
        assert_eq!(decided(false, Some(KEY), 185), BindingDecision::Confirm);
        assert_eq!(decided(true, Some(KEY), 0), BindingDecision::Proceed);
    }

    #[test]
    fn a_renewal_without_a_proof_is_refused_once_the_binding_is_confirmed() {
        assert_eq!(decided(false, None, 9999), BindingDecision::Proceed);
        assert_eq!(decided(true, None, 0), BindingDecision::ProofRequired);
        let timing = RotationTiming::default();
        assert_eq!(decide_binding(None, None, &timing, Timestamp::EPOCH), BindingDecision::Proceed);
    }

    #[test]
    fn a_proof_of_another_key_is_refused_once_the_binding_is_confirmed() {
        assert_eq!(decided(true, Some(OTHER), 9999), BindingDecision::OtherKey);
        assert_eq!(decided(false, Some(OTHER), 9999), BindingDecision::Proceed);
        let timing = RotationTiming::default();
        assert_eq!(decide_binding(None, Some(&KEY), &timing, Timestamp::EPOCH), BindingDecision::Proceed);
    }

    fn registered(key: Thumbprint, binding: Option<Binding>, signed_in: u64) -> RegistrationDecision {
        let secs = Duration::from_secs;
        let now = Timestamp::from_secs(1_000_000);
        let limits = RegistrationLimits {
            authenticated_at: now - secs(signed_in),
            window: secs(900),
            access_ttl: secs(300),
        };
        decide_registration(&key, binding.as_ref(), &limits, &RotationTiming::default(), now)
    }

    fn registered_ago(age: u64, confirmed: bool) -> Option<Binding> {
        Some(Binding { key: KEY, registered_at: Timestamp::from_secs(1_000_000 - age), confirmed })
    }

    #[test]
    fn the_first_key_stays_until_its_client_must_have_confirmed_it() {
        assert_eq!(registered(KEY, None, 0), RegistrationDecision::Register);
        // 60 s + 35 s + 2 * 45 s = 185 s, and the access token's lifetime of 300 s.
        assert_eq!(registered(OTHER, registered_ago(484, false), 0), RegistrationDecision::Refuse);
        assert_eq!(registered(OTHER, registered_ago(485, false), 0), RegistrationDecision::Register);
        assert_eq!(registered(KEY, registered_ago(0, false), 0), RegistrationDecision::Register);
    }

    #[test]
    fn a_confirmed_key_is_never_replaced() {
        for key in [KEY, OTHER] {
            assert_eq!(registered(key, registered_ago(9999, true), 0), RegistrationDecision::Refuse);
        }
    }

    #[test]
    fn a_session_is_bound_within_a_time_after_the_sign_in() {
        for binding in [None, registered_ago(600, false)] {
            assert_eq!(registered(KEY, binding, 900), RegistrationDecision::Register);
            assert_eq!(registered(KEY, binding, 901), RegistrationDecision::RefuseLate);
        }
    }
}
