//! Decides about the device key of a session: its registration, its proofs, and renewals without a proof.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Family, RotationTiming};
use crate::time::Timestamp;

/// The RFC 7638 thumbprint (SHA-256) of a device's public key.
pub type KeyThumbprint = [u8; 32];

/// The device key of a session, in its record.
///
/// It is provisional until a proof [confirms](ProofDecision::Confirm) it. A provisional key changes nothing: the
/// refresh token alone still renews the session. After the confirmation, only a renewal with a proof is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// Its thumbprint.
    pub key: KeyThumbprint,
    /// When the key was last registered: a client that got no response registers the same key again.
    pub registered_at: Timestamp,
    /// Whether a proof confirmed it. Never becomes false again.
    pub confirmed: bool,
}

/// Until when a session may be bound.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationLimits {
    /// When the user signed in, or last re-authenticated.
    pub authenticated_at: Timestamp,
    /// For how long after that a session may be bound.
    pub window: Duration,
    /// The access token's lifetime: an active client proves its key at least that often.
    pub access_ttl: Duration,
}

/// What to do with a registration, whose proof is valid for the key that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationDecision {
    /// Write the key to the record, as provisional and registered now. It is the first one, or the same one again,
    /// or no client has confirmed the earlier one for so long that its registration must have failed.
    Register,
    /// The session was revoked or has expired.
    RefuseSession,
    /// Another key is registered, whose client may still confirm it.
    RefuseOtherKey,
    /// A key is confirmed, and is never replaced.
    RefuseConfirmed,
    /// The sign-in is too long ago. An attacker who copies the cookies later must not bind the session to another
    /// device.
    RefuseLate,
}

/// Judges the registration of `key`.
#[must_use]
pub fn decide_registration(
    key: &KeyThumbprint,
    binding: Option<&Binding>,
    family: &Family,
    limits: &RegistrationLimits,
    now: Timestamp,
) -> RegistrationDecision {
    if !family.is_live(now) {
        return RegistrationDecision::RefuseSession;
    }
    match binding {
        Some(Binding { confirmed: true, .. }) => RegistrationDecision::RefuseConfirmed,
        _ if now.since(limits.authenticated_at) > limits.window => RegistrationDecision::RefuseLate,
        Some(binding)
            if binding.key != *key && now < binding.replaceable_at(&family.timing, limits.access_ttl) =>
        {
            RegistrationDecision::RefuseOtherKey
        }
        _ => RegistrationDecision::Register,
    }
}

/// What to do with a request for the refresh of a bound session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofDecision {
    /// The proof confirms the key. Write that, then renew.
    Confirm,
    /// Renew.
    Renew,
    /// There is no valid proof: answer with a challenge.
    Challenge,
    /// No key is confirmed, and this one is not the provisional one: renew, as the refresh token alone does.
    ///
    /// Do not tell the client to forget its binding. It may have registered the provisional key in the meantime, and
    /// would forget that one.
    RenewUnbound,
}

/// Judges a refresh. `proven` is the key whose proof is valid, if there is one. The refresh token that comes with it is
/// judged after that, as always.
#[must_use]
pub fn decide_proof(
    proven: Option<&KeyThumbprint>,
    binding: Option<&Binding>,
    timing: &RotationTiming,
    now: Timestamp,
) -> ProofDecision {
    let Some(binding) = binding else { return ProofDecision::RenewUnbound };
    match proven {
        None => ProofDecision::Challenge,
        Some(key) if *key != binding.key && binding.confirmed => ProofDecision::Challenge,
        Some(key) if *key != binding.key => ProofDecision::RenewUnbound,
        Some(_) if !binding.confirmed && binding.confirms_by_proof(timing, now) => ProofDecision::Confirm,
        Some(_) => ProofDecision::Renew,
    }
}

impl Binding {
    /// A provisional key.
    #[must_use]
    pub const fn provisional(key: KeyThumbprint, now: Timestamp) -> Self {
        Self { key, registered_at: now, confirmed: false }
    }

    /// Whether a renewal needs a proof. Without one, a refresh token of the session is refused whatever its generation:
    /// it is not judged as reuse, or an attacker could revoke the session with a copy.
    #[must_use]
    pub const fn demands_proof(&self) -> bool {
        self.confirmed
    }

    /// Whether a proof at this time confirms the key: `W + C + 2·G` after the registration, or without a crash window
    /// the first one.
    ///
    /// Only a proof does. An access token of the registration does not show that the client has the key: a browser
    /// stores the cookies of a response whose body it never gets, and the body is what starts the binding. After that
    /// time, a client that crashes comes back with the key, for the same reasons as in
    /// [`RotationTiming::confirmation_age`].
    #[must_use]
    pub fn confirms_by_proof(&self, timing: &RotationTiming, now: Timestamp) -> bool {
        timing.confirms_at_once() || now >= self.registered_at + timing.confirmation_age(false)
    }

    /// When another key may take the place of this provisional one. A client that has this key, and is in use, has
    /// confirmed it by then.
    ///
    /// Two tabs may register one key each. If the second one took the place of the first, the responses could reach the
    /// browser in the other order: it would keep a key that is not in the record.
    #[must_use]
    pub fn replaceable_at(&self, timing: &RotationTiming, access_ttl: Duration) -> Timestamp {
        self.registered_at + timing.confirmation_age(false) + access_ttl
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const KEY: KeyThumbprint = [1; 32];
    const OTHER: KeyThumbprint = [2; 32];

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn bound(ago: u64, confirmed: bool) -> Binding {
        Binding { confirmed, ..Binding::provisional(KEY, NOW - secs(ago)) }
    }

    /// The defaults: W 60 s, C 35 s, G 45 s. The user signed in 100 s ago.
    fn registered(
        key: KeyThumbprint,
        binding: Option<Binding>,
        change: impl FnOnce(&mut Family, &mut RegistrationLimits),
    ) -> RegistrationDecision {
        let mut family = Family::begin(NOW - secs(100), secs(7200), secs(86400));
        let mut limits = RegistrationLimits {
            authenticated_at: NOW - secs(100),
            window: secs(900),
            access_ttl: secs(300),
        };
        change(&mut family, &mut limits);
        decide_registration(&key, binding.as_ref(), &family, &limits, NOW)
    }

    #[test]
    fn first_key_and_the_same_key_again_are_registered() {
        assert_eq!(registered(KEY, None, |_, _| ()), RegistrationDecision::Register);
        assert_eq!(registered(KEY, Some(bound(1, false)), |_, _| ()), RegistrationDecision::Register);
    }

    #[test]
    fn another_key_is_refused_until_the_first_one_must_have_failed() {
        let other = |ago| registered(OTHER, Some(bound(ago, false)), |_, _| ());
        assert_eq!(other(0), RegistrationDecision::RefuseOtherKey);
        // 60 + 35 + 2 * 45 s, and the access token's lifetime.
        assert_eq!(other(484), RegistrationDecision::RefuseOtherKey);
        assert_eq!(other(485), RegistrationDecision::Register);
    }

    #[test]
    fn confirmed_key_is_never_replaced() {
        for key in [KEY, OTHER] {
            let late = registered(key, Some(bound(10_000, true)), |_, _| ());
            assert_eq!(late, RegistrationDecision::RefuseConfirmed);
        }
    }

    #[test]
    fn session_is_bound_only_within_the_window_after_a_sign_in() {
        let ago = |ago| registered(KEY, None, |_, limits| limits.authenticated_at = NOW - secs(ago));
        assert_eq!(ago(900), RegistrationDecision::Register);
        assert_eq!(ago(901), RegistrationDecision::RefuseLate);
    }

    #[test]
    fn revoked_or_expired_session_is_not_bound() {
        let revoked = registered(KEY, None, |family, _| family.revoked = true);
        assert_eq!(revoked, RegistrationDecision::RefuseSession);
        let expired = registered(KEY, None, |family, _| family.idle_deadline = NOW);
        assert_eq!(expired, RegistrationDecision::RefuseSession);
    }

    fn proved(proven: Option<KeyThumbprint>, binding: Option<Binding>) -> ProofDecision {
        decide_proof(proven.as_ref(), binding.as_ref(), &RotationTiming::default(), NOW)
    }

    #[test]
    fn proof_confirms_the_key_once_it_was_registered_long_enough_ago() {
        assert_eq!(proved(Some(KEY), Some(bound(184, false))), ProofDecision::Renew);
        assert_eq!(proved(Some(KEY), Some(bound(185, false))), ProofDecision::Confirm);
        assert_eq!(proved(Some(KEY), Some(bound(185, true))), ProofDecision::Renew);
        let timing = RotationTiming { crash_window: Duration::ZERO, ..RotationTiming::default() };
        let first = decide_proof(Some(&KEY), Some(&bound(0, false)), &timing, NOW);
        assert_eq!(first, ProofDecision::Confirm);
    }

    #[test]
    fn refresh_without_a_valid_proof_is_challenged() {
        for confirmed in [false, true] {
            assert_eq!(proved(None, Some(bound(1000, confirmed))), ProofDecision::Challenge);
        }
        assert_eq!(proved(Some(OTHER), Some(bound(1000, true))), ProofDecision::Challenge);
    }

    #[test]
    fn client_whose_key_is_not_in_the_record_is_served_until_another_one_is_confirmed() {
        assert_eq!(proved(Some(KEY), None), ProofDecision::RenewUnbound);
        assert_eq!(proved(None, None), ProofDecision::RenewUnbound);
        assert_eq!(proved(Some(OTHER), Some(bound(1000, false))), ProofDecision::RenewUnbound);
    }

    #[test]
    fn only_a_confirmed_key_demands_a_proof() {
        assert!(!bound(10_000, false).demands_proof());
        assert!(bound(0, true).demands_proof());
    }
}
