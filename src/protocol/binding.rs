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

/// What a session's record knows of its device key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The latest key that the client registered.
    pub key: Thumbprint,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Whether a proof of this key came late enough after that. Never becomes false again.
    pub confirmed: bool,
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// When a session may be bound to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationLimits {
    /// When the user signed in, or last re-authenticated.
    pub authenticated_at: Timestamp,
    /// For how long after that the session may be bound. An attacker who copies the cookies later cannot bind it to another
    /// device.
    pub window: Duration,
    /// The lifetime of an access token: a client in use proves its key at least that often.
    pub access_ttl: Duration,
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// What to do with a registration, whose proof is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationDecision {
    /// Bind the session to this key, provisionally. The session has no key, this key, or an abandoned one.
    Register,
    /// The session keeps its key: it is confirmed, or the client may still confirm it.
    Refuse,
    /// The time after the sign-in in which the session may be bound is over.
    RefuseLate,
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// Decides about a registration of `key`. `timing` is from the session's record.
///
/// A provisional key is replaced only if it is abandoned. Otherwise an attacker with copied cookies could replace the
/// client's key before it is confirmed.
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
    /// Write that the binding is confirmed. Then the refresh token decides.
    Confirm,
    /// Refuse it: the session is bound, and there is no proof. The session is not revoked.
    ProofRequired,
    /// Refuse it with a challenge: the session is bound, and the proof is of another key. Do not tell the client to forget
    /// its key: after it sent this proof, it may have received the confirmed one.
    OtherKey,
}

/// Decides about a renewal with a proof of the key `proof`, or without a proof. `timing` is from the session's record.
///
/// A proof confirms the binding if it comes at least `W + C + 2·G` after the registration. By then the client has the
/// key and keeps it after a crash, and no response to an earlier registration is in transit. An access token that was
/// minted for the binding would show less: a client that lost the rest of the response has the cookie without the key.
#[must_use]
pub fn decide_binding(
    binding: Option<&Binding>,
    proof: Option<&Thumbprint>,
    timing: &RotationTiming,
    now: Timestamp,
) -> BindingDecision {
    match (binding, proof) {
        (None, None) => BindingDecision::Proceed,
        (Some(binding), None) if binding.confirmed => BindingDecision::ProofRequired,
        (Some(_), None) => BindingDecision::Proceed,
        (Some(binding), Some(key)) if binding.key == *key => {
            match !binding.confirmed && is_settled(binding, timing, now) {
                true => BindingDecision::Confirm,
                false => BindingDecision::Proceed,
            }
        }
        (Some(binding), Some(_)) if binding.confirmed => BindingDecision::OtherKey,
        // The refresh token is enough. The client must not be told to forget its key: after it sent this proof, it may
        // have received the provisional key, and would forget that one.
        (_, Some(_)) => BindingDecision::Proceed,
    }
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// Whether a response to a renewed request offers a registration, since one would be accepted.
#[must_use]
pub fn offers_registration(
    binding: Option<&Binding>,
    limits: &RegistrationLimits,
    timing: &RotationTiming,
    now: Timestamp,
) -> bool {
    // Stands for a key that the session does not have.
    let key = Thumbprint::default();
    decide_registration(&key, binding, limits, timing, now) == RegistrationDecision::Register
}

#[cfg(any(feature = "device-bound", feature = "__search"))]
/// Whether no client in use has this provisional key: such a client would have confirmed it. (Its first proof may come
/// just before the key is settled, and the next one an access token lifetime later.)
fn is_abandoned(
    binding: &Binding,
    limits: &RegistrationLimits,
    timing: &RotationTiming,
    now: Timestamp,
) -> bool {
    is_settled(binding, timing, now - limits.access_ttl)
}

/// Whether the response to the registration has arrived or is lost, and a client with the key keeps it after a crash.
fn is_settled(binding: &Binding, timing: &RotationTiming, now: Timestamp) -> bool {
    now >= binding.registered_at + timing.confirmation_age(false)
}

#[cfg(all(test, any(feature = "device-bound", feature = "__search")))]
mod tests {
    use super::*;

    const KEY: Thumbprint = Thumbprint([1; 32]);
    const OTHER: Thumbprint = Thumbprint([2; 32]);

    fn decided(confirmed: bool, proof: Option<Thumbprint>, age: u64) -> BindingDecision {
        let at = Timestamp::from_secs;
        let binding = Binding { key: KEY, registered_at: at(1000), confirmed };
        decide_binding(Some(&binding), proof.as_ref(), &RotationTiming::default(), at(1000 + age))
    }

    #[test]
    fn a_proof_confirms_the_binding_once_it_is_old_enough() {
        // 60 + 35 + 2 * 45 s.
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
        // 60 + 35 + 2 * 45 s, and the access token's lifetime.
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
