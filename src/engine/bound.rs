//! Sessions that are bound to a device: refuses renewals without a proof of the device's key, and offers browsers to
//! register a key.

use std::sync::Arc;

#[cfg(feature = "device-bound")]
use http::{HeaderName, HeaderValue};

use super::{Engine, VerifiedToken};
use crate::{
    backend::Write,
    claims::Claims,
    device_binding::DeviceBinding,
    event::EventKind,
    protocol::Refusal,
    revocation::SessionError,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
    token::{DeviceKey, RefreshClaims},
};

/// The header that offers the browser to register a key.
#[cfg(feature = "device-bound")]
pub(crate) const REGISTRATION: HeaderName = HeaderName::from_static("secure-session-registration");

/// The device key to which a record's session is bound, provisionally or for good.
pub(super) fn device_of(record: &SessionRecord) -> Option<DeviceKey> {
    DeviceBinding::of(record).map(|binding| DeviceKey::from(&binding.state()))
}

impl<C: Claims> Engine<C> {
    /// Writes that a bound session is in use, once for each of its access tokens. This is needed because a refresh by
    /// the browser may be for a passive request, so it does not show that the session is in use. If the write fails,
    /// the next request tries again.
    pub(super) fn note_use(self: &Arc<Self>, token: &Arc<VerifiedToken<C>>, now: Timestamp) {
        // An expired token does not count as use, because it may be a copy. So a client without the key can keep the
        // session alive only until its token expires.
        if now >= token.view.expires {
            return;
        }
        if token.nothing_to_write() || !token.begin_write() {
            return;
        }
        let (engine, token) = (self.clone(), token.clone());
        self.backend.write_behind(token.view.key.id, Write::Touch, async move {
            let touch = |record: &mut SessionRecord| {
                let family = &mut record.family;
                let is_due = family.is_unused_since_handout_or_confirmation()
                    || family.touch_is_due(now, family.timing.rotation_interval);
                is_due && family.touch(now)
            };
            let written = engine.compare_and_set("touch", &token.view.key, None, None, touch).await;
            if written.is_err() {
                token.retry_write();
            }
        });
    }

    /// Refuses a refresh token that says that its session is bound, because the request has no proof. Nothing is
    /// rotated.
    ///
    /// The store is asked whether the session is revoked or expired. Without this call, the client of a revoked or
    /// expired session would be asked for proofs again and again.
    pub(super) async fn refuse_bound_token(&self, refresh: &RefreshClaims) -> SessionError {
        let key = self.key(refresh.subject.clone(), refresh.session);
        let refused = match Box::pin(self.read_live(&key, refresh.run, self.now())).await {
            Ok(_) => self.refuse_unproven(&key, self.now()),
            Err(error) => error,
        };
        if let SessionError::Refused(why) = refused {
            self.config.events.of(EventKind::Refused(why), &key.id, &key.subject.name);
        }
        refused
    }

    /// Reports the attempt, and returns the refusal.
    pub(super) fn refuse_unproven(&self, key: &SessionKey, now: Timestamp) -> SessionError {
        self.warn_unproven(key, now);
        Refusal::DeviceProofRequired.into()
    }

    /// Reports an attempt to renew without the device's key, once a minute for each session.
    pub(super) fn warn_unproven(&self, key: &SessionKey, now: Timestamp) {
        if self.backend.unproven.note_if_higher(key.id, now.as_secs() / 60) {
            self.config.events.of(EventKind::DeviceProofMissing, &key.id, &key.subject.name);
        }
    }

    /// Whether browsers can send proofs. The routes for proofs exist only with the setting `device_bound`.
    pub(super) fn takes_proofs(&self) -> bool {
        #[cfg(feature = "device-bound")]
        return self.config.device_bound.is_some();
        #[cfg(not(feature = "device-bound"))]
        false
    }

    /// Whether the response to a request that renewed its session offers a registration.
    #[cfg(feature = "device-bound")]
    pub(super) fn offers_registration(&self, record: &SessionRecord) -> bool {
        let binding = DeviceBinding::of(record).map(|binding| binding.state());
        self.registration_limits(record).is_some_and(|limits| {
            let timing = &record.family.timing;
            crate::protocol::offers_registration(binding.as_ref(), &limits, timing, self.now())
        })
    }

    /// The limits for binding the session of this record. `None` if `device_bound` is not set, or if its binding window
    /// allows no session to be bound.
    #[cfg(feature = "device-bound")]
    pub(super) fn registration_limits(
        &self,
        record: &SessionRecord,
    ) -> Option<crate::protocol::RegistrationLimits> {
        Some(crate::protocol::RegistrationLimits {
            authenticated_at: record.authenticated_at(),
            window: self.config.device_bound.as_ref()?.binding_time()?,
            access_ttl: self.config.policy.timing().access_ttl,
        })
    }

    /// The value of the header [`REGISTRATION`]. `None` if `device_bound` is not set, if its binding window allows no
    /// session to be bound, or if no challenge can be made.
    #[cfg(feature = "device-bound")]
    pub(crate) fn registration_offer(&self, session: &crate::id::SessionId) -> Option<HeaderValue> {
        let settings = self.config.device_bound.as_ref()?;
        settings.binding_time()?;
        let codec = self.tokens.codec();
        let challenge = codec.challenge(crate::token::Purpose::Registration, session, self.now())?;
        let path = settings.path();
        let offer = format!("(ES256 RS256);path=\"{path}/start\";challenge=\"{challenge}\"");
        HeaderValue::try_from(offer).ok()
    }
}
