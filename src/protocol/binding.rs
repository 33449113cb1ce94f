//! Decides about the binding of a session to a key of the client's device.

use std::fmt;

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

/// What to do with a registration, whose proof is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationDecision {
    /// Bind the session to this key, provisionally. An earlier provisional key is forgotten.
    Register,
    /// The session is bound to a confirmed key, which stays.
    Refuse,
}

/// Decides about a registration.
#[must_use]
pub const fn decide_registration(binding: Option<&Binding>) -> RegistrationDecision {
    match binding {
        Some(Binding { confirmed: true, .. }) => RegistrationDecision::Refuse,
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
    /// Refuse it: the proof is of a key that the session is not bound to. The client forgets its key.
    OtherKey,
}

/// Decides about a renewal with a proof of the key `proof`, or without a proof. `timing` is from the session's record.
///
/// A proof confirms the binding if it comes at least `W + C + 2·G` after the registration. Then the client has the key,
/// has it after a crash, and no answer to an earlier registration is on its way. An access token that was minted for the
/// binding would show less: the client can have the cookie without the key, if it lost the rest of the answer.
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
        (_, Some(_)) => BindingDecision::OtherKey,
    }
}

/// Whether a response to a renewed request offers a registration: no key is registered, or the client evidently did not
/// keep it, since it renewed without a proof long after it was registered.
#[must_use]
pub fn offers_registration(binding: Option<&Binding>, timing: &RotationTiming, now: Timestamp) -> bool {
    binding.is_none_or(|binding| !binding.confirmed && is_settled(binding, timing, now))
}

/// Whether the answer to the registration has arrived or is lost, and a client that has the key keeps it after a crash.
fn is_settled(binding: &Binding, timing: &RotationTiming, now: Timestamp) -> bool {
    now >= binding.registered_at + timing.confirmation_age(false)
}

#[cfg(test)]
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
    fn a_proof_of_another_key_is_refused() {
        for confirmed in [false, true] {
            assert_eq!(decided(confirmed, Some(OTHER), 9999), BindingDecision::OtherKey);
        }
        let timing = RotationTiming::default();
        assert_eq!(decide_binding(None, Some(&KEY), &timing, Timestamp::EPOCH), BindingDecision::OtherKey);
    }

    #[test]
    fn a_new_key_replaces_a_provisional_one_only() {
        let binding = Binding { key: KEY, registered_at: Timestamp::EPOCH, confirmed: false };
        assert_eq!(decide_registration(None), RegistrationDecision::Register);
        assert_eq!(decide_registration(Some(&binding)), RegistrationDecision::Register);
        let confirmed = Binding { confirmed: true, ..binding };
        assert_eq!(decide_registration(Some(&confirmed)), RegistrationDecision::Refuse);
    }
}
