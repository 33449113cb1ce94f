//! Sessions that are bound to a device: what their renewals, their access cookies and other responses need.

use std::sync::Arc;

#[cfg(feature = "device-bound")]
use http::{HeaderName, HeaderValue};

use super::{AuthOutcome, AuthStep, Engine, RequestContext, VerifiedToken, bearer::BearerDecision};
use crate::{
    claims::Claims,
    cookie::CookieValue,
    cross_site::Renewable,
    device_binding::DeviceBinding,
    event::EventKind,
    protocol::{BindingDecision, Refusal, SessionStatus, decide_binding},
    revocation::SessionError,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
    token::{DeviceKey, RefreshClaims},
};

/// Offers a registration to the browser.
#[cfg(feature = "device-bound")]
pub(crate) const REGISTRATION: HeaderName = HeaderName::from_static("secure-session-registration");

/// The device key to which a record's session is bound.
pub(super) fn device_of(record: &SessionRecord) -> Option<DeviceKey> {
    DeviceBinding::of(record).map(|binding| DeviceKey::from(&binding.state()))
}

impl<C> VerifiedToken<C> {
    /// Whether the session was bound when the token was issued: its renewal needs a proof of the device's key.
    pub(super) fn is_bound(&self) -> bool {
        self.view.device.as_ref().is_some_and(DeviceKey::is_confirmed)
    }
}

impl<C: Claims> Engine<C> {
    /// Whether the store must be asked about this access token, because it cannot be used as it is (its claims may be stale)
    /// and this request cannot renew it (its session is bound).
    pub(super) fn needs_look_up(
        &self,
        token: &VerifiedToken<C>,
        status: Option<SessionStatus>,
        now: Timestamp,
    ) -> bool {
        token.is_bound()
            && token.view.issued <= now + crate::protocol::LEEWAY
            && now < token.view.expires
            && status != Some(SessionStatus::Revoked)
    }

    /// Serves a request with an access token that [needs a look-up](Self::needs_look_up).
    pub(super) fn look_up_bound(
        self: &Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: CookieValue<'_>,
        renewable: Renewable,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let session = self.newest(&token);
        if let BearerDecision::Accepted = self.decide_bearer(&session, context.arrived) {
            if !context.passive {
                self.confirm_once(&token, context.with_body, context.arrived.wall);
            }
            let presented = token.view.generation;
            return AuthStep::Ready(AuthOutcome::Session { session, presented, renewal: None });
        }
        let refresh = self.read_refresh(refresh, context.arrived.wall).ok();
        let refresh = refresh.filter(|_| renewable == Renewable::Yes);
        AuthStep::ask_store(self.clone().check_or_renew(token, refresh, context.clone()))
    }

    /// Refuses a refresh token that says that its session is bound, if there is no proof. Nothing is rotated. The store says
    /// whether the session is revoked or expired: the client of such a session must not be asked for proofs
    /// again and again.
    pub(super) async fn check_bound_token(
        &self,
        refresh: &RefreshClaims,
        proven: bool,
    ) -> Result<(), SessionError> {
        if proven || refresh.device.is_none() {
            return Ok(());
        }
        let key = self.key(refresh.subject.clone(), refresh.session);
        let refused = match Box::pin(self.read_live(&key, refresh.run, self.now())).await {
            Ok(_) => self.refuse_unproven(&key, self.now()),
            Err(error) => error,
        };
        if let SessionError::Refused(why) = refused {
            self.config.events.of(EventKind::Refused(why), &key.id, &key.subject.name);
        }
        Err(refused)
    }

    /// Refuses a renewal without a proof of the device's key, by the record. It does not revoke the session, for any
    /// generation: a copy of its cookies must not sign the user out.
    ///
    /// If the token is from before the confirmation of the binding, this store call may have rotated the session. The client
    /// with the key then presents a predecessor, and is served.
    pub(super) fn check_device(
        &self,
        key: &SessionKey,
        record: &SessionRecord,
        proven: bool,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        if proven || !record.family.is_live(now) {
            return Ok(());
        }
        let binding = DeviceBinding::of(record).map(|binding| binding.state());
        if decide_binding(binding.as_ref(), None, &record.family.timing, now)
            == BindingDecision::ProofRequired
        {
            return Err(self.refuse_unproven(key, now));
        }
        #[cfg(feature = "device-bound")]
        if let Some(settings) = &self.config.device_bound
            && settings.is_required_within().is_some_and(|time| now >= record.family.created_at + time)
        {
            return Err(Refusal::DeviceNotBound.into());
        }
        Ok(())
    }

    fn refuse_unproven(&self, key: &SessionKey, now: Timestamp) -> SessionError {
        self.warn_unproven(key, now);
        Refusal::DeviceProofRequired.into()
    }

    /// Reports an attempt to renew without the device's key, once a minute for each session.
    pub(super) fn warn_unproven(&self, key: &SessionKey, now: Timestamp) {
        if self.backend.unproven.note_if_newer(key.id, now.as_secs() / 60) {
            self.config.events.of(EventKind::DeviceProofMissing, &key.id, &key.subject.name);
        }
    }

    /// Whether a refused browser may come again with a proof. Without the setting, there are no routes for that.
    pub(super) fn takes_proofs(&self) -> bool {
        #[cfg(feature = "device-bound")]
        return self.config.device_bound.is_some();
        #[cfg(not(feature = "device-bound"))]
        false
    }

    /// Whether a response to a renewed request offers a registration.
    #[cfg(feature = "device-bound")]
    pub(super) fn offers_registration(&self, record: &SessionRecord) -> bool {
        let binding = DeviceBinding::of(record).map(|binding| binding.state());
        self.registration_limits(record).is_some_and(|limits| {
            let timing = &record.family.timing;
            crate::protocol::offers_registration(binding.as_ref(), &limits, timing, self.now())
        })
    }

    /// When the session of this record may be bound. `None` without the setting, or if no session may.
    #[cfg(feature = "device-bound")]
    pub(super) fn registration_limits(
        &self,
        record: &SessionRecord,
    ) -> Option<crate::protocol::RegistrationLimits> {
        Some(crate::protocol::RegistrationLimits {
            authenticated_at: record.authenticated_at(),
            window: self.config.device_bound.as_ref()?.within()?,
            access_ttl: self.config.policy.timing().access_ttl,
        })
    }

    /// The header that offers a registration to the browser. `None` without the setting, or if no session may be bound.
    #[cfg(feature = "device-bound")]
    pub(crate) fn registration_offer(&self, session: &crate::id::SessionId) -> Option<HeaderValue> {
        let settings = self.config.device_bound.as_ref()?;
        settings.within()?;
        let codec = self.tokens.codec();
        let challenge = codec.challenge(crate::token::Purpose::Registration, session, self.now())?;
        let path = settings.path();
        let offer = format!("(ES256 RS256);path=\"{path}/start\";challenge=\"{challenge}\"");
        HeaderValue::try_from(offer).ok()
    }
}
