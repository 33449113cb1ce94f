//! Device Bound Session Credentials: registers the key of a browser's device, and renews sessions with a proof of that
//! key.
//!
//! These requests are not checked for cross-site request forgery, because browsers also send them for navigations from
//! other sites. No other site can forge them: a registration needs a proof that the new key has signed, and a refresh
//! of a session with a confirmed key needs a proof that this key has signed. The proof is in a header that no page of
//! another site can send. A refresh of a session without a confirmed key does no more than a renewal.

use std::sync::{Arc, atomic::Ordering};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use super::{Credential, Engine, RequestContext, ResponsePlan, record::record_if_run_id_matches};
use crate::{
    claims::Claims,
    cookie::{CookieValue, scan},
    device_binding::DeviceBinding,
    event::EventKind,
    id::SessionId,
    protocol::{
        BindingDecision, Refusal, RegistrationDecision, SessionStatus, Thumbprint, decide_binding,
        decide_registration,
    },
    rejection::RejectionKind,
    request::RequestHead,
    revocation::SessionError,
    store::SessionRecord,
    time::Reading,
    token::{DeviceProof, PublicKey, Purpose, RefreshClaims},
};

/// The header with the proof.
const PROOF: HeaderName = HeaderName::from_static("secure-session-response");
/// A placeholder for [`decide_binding`]: the proof was signed by another key than the session's.
const OTHER_KEY: Thumbprint = Thumbprint([0; 32]);
/// The header with the session that a browser refreshes.
const SESSION: HeaderName = HeaderName::from_static("sec-secure-session-id");

/// A request of the browser about the key of its device.
pub(crate) struct DeviceRequest<'r> {
    pub(crate) head: RequestHead<'r>,
    pub(crate) arrived: Reading,
}

/// The answer to the browser. `name` is the session's name in the browser.
pub(crate) enum DeviceAnswer<C> {
    /// Cookies, and the instructions for the browser.
    Bound { name: String, plan: ResponsePlan<C> },
    /// The browser has to prove the key.
    Challenge { challenge: String, name: String },
    /// The browser has named another session, whose cookies it does not have. It forgets the key of that session.
    Forget { name: String },
    /// The session is revoked, expired or unknown, or the request has no valid refresh token. The browser forgets its
    /// key.
    Over,
    /// The registration is refused. The browser keeps the keys that it has.
    Refused,
    /// Nothing could be decided, for example because the store did not answer. After a failed refresh, the browser
    /// tries again later. After a failed registration, the browser forgets the new key.
    Unavailable,
    /// The request is for another host than this machine.
    NotLoopback,
}

/// How a [`DeviceRequest`] renews its session.
#[derive(Clone, Copy, Default)]
struct RenewalKind {
    /// Whether the request has proven the key.
    proven: bool,
    /// Whether the request does not count as use of the session.
    passive: bool,
}

impl<C> From<SessionError> for DeviceAnswer<C> {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Refused(
                Refusal::NoToken
                | Refusal::BadToken
                | Refusal::Expired
                | Refusal::Unknown
                | Refusal::OtherRunId
                | Refusal::Revoked
                | Refusal::Reuse
                | Refusal::RevokedByApplication,
            ) => Self::Over,
            // The session is live, or its state is unknown. So a browser that refreshes must keep its key.
            SessionError::Unavailable | SessionError::Refused(_) => Self::Unavailable,
        }
    }
}

impl<C: Claims> Engine<C> {
    /// Binds the session of the request's cookies, provisionally, to the key in the request's proof.
    pub(crate) async fn register_device(self: &Arc<Self>, request: &DeviceRequest<'_>) -> DeviceAnswer<C> {
        match self.try_register(request).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn try_register(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
    ) -> Result<DeviceAnswer<C>, DeviceAnswer<C>> {
        let refused = |why| {
            self.config.events.note(EventKind::DeviceProofInvalid { why });
            DeviceAnswer::Refused
        };
        let refresh = self.presented_refresh_token(request)?;
        if is_by_script(request.head.headers) {
            return Err(refused("script"));
        }
        let proof = single_value(request.head.headers, &PROOF).ok_or("malformed").and_then(DeviceProof::read);
        let proof = proof.map_err(refused)?;
        let key = proof.key.as_ref().ok_or_else(|| refused("key"))?;
        if !proof.is_signed_by(key) {
            return Err(refused("signature"));
        }
        if !self.answers_own_challenge(&proof, Purpose::Registration, &refresh.session) {
            return Err(refused("challenge"));
        }
        let (Some(thumbprint), Some(jwk)) = (key.thumbprint_bytes(), key.to_named_jwk()) else {
            return Err(refused("key"));
        };
        // A superseded refresh token must bind nothing, so the refresh token is judged before the key is stored.
        let context = self.device_context(request, RenewalKind::default());
        let mut renewal = match self.renew_shared(&refresh, &context).await {
            Err(SessionError::Refused(Refusal::DeviceProofRequired)) => return Err(refused("bound")),
            renewal => renewal?,
        };
        // With stale claims, the response would set no cookies. Answer with an error, so that the browser forgets the
        // key.
        if self.status_since_read(&renewal) == SessionStatus::Stale {
            return Err(DeviceAnswer::Unavailable);
        }
        let (session, now) = (renewal.session.view().key.clone(), self.now());
        let binding = DeviceBinding::new(jwk, thumbprint, now);
        let bind = |record: &mut SessionRecord| {
            let current = DeviceBinding::of(record).map(|binding| binding.state());
            let decision = self.registration_limits(record).map(|limits| {
                decide_registration(&thumbprint, current.as_ref(), &limits, &record.family.timing, now)
            });
            let applies = record.is_live(now) && decision == Some(RegistrationDecision::Register);
            if applies {
                binding.attach(record);
            }
            applies
        };
        let written = self.compare_and_set("bind_device", &session, None, None, bind).await;
        let written = written.map_err(|_| DeviceAnswer::Unavailable)?;
        let applied = written.applied;
        let record = record_if_run_id_matches(written, refresh.run).map_err(SessionError::from)?;
        if !applied {
            return Err(if record.is_live(now) { refused("bound") } else { DeviceAnswer::Over });
        }
        binding.attach(Arc::make_mut(&mut renewal.record));
        self.config.events.of(EventKind::DeviceRegistered, &session.id, &session.subject.name);
        let plan = ResponsePlan::Renewed { renewal: Box::new(renewal), arrived: request.arrived };
        Ok(DeviceAnswer::Bound { name: identifier(&session.id), plan })
    }

    /// Renews the session of the request's cookies. If the session has a key, the request needs a proof. A proof of
    /// another key is refused if the session's key is confirmed, and ignored if it is provisional.
    pub(crate) async fn refresh_device(self: &Arc<Self>, request: &DeviceRequest<'_>) -> DeviceAnswer<C> {
        match self.try_refresh(request).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn try_refresh(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
    ) -> Result<DeviceAnswer<C>, DeviceAnswer<C>> {
        let headers = request.head.headers;
        let refresh = self.presented_refresh_token(request)?;
        let (key, name) = (self.key(refresh.subject.clone(), refresh.session), identifier(&refresh.session));
        // The browser asks for another session, such as that of a previous user. The cookies of that session are gone.
        if let Some(asked) = single_value(headers, &SESSION).filter(|asked| *asked != name.as_bytes()) {
            let name = String::from_utf8_lossy(asked).chars().take(64).collect();
            return Err(DeviceAnswer::Forget { name });
        }
        self.revocation.denylist.check(&key.id, refresh.run).map_err(SessionError::from)?;
        // Browsers limit how often they sign. So the store is read before the browser is asked for a proof: an outage
        // must not use up a signature.
        let record = self.read_live(&key, refresh.run, self.now()).await?;
        let Some(binding) = DeviceBinding::of(&record) else {
            // Without a key in the record, the refresh token is enough. But if the token names a key, a store that was
            // restored from a backup has lost that key.
            return match refresh.device {
                None => self.renew_device(request, refresh, name, RenewalKind::default()).await,
                Some(_) => Err(DeviceAnswer::Over),
            };
        };
        let challenge = || {
            let challenge = self.tokens.codec().challenge(Purpose::Refresh, &key.id, self.now());
            let name = name.clone();
            challenge
                .map_or(DeviceAnswer::Unavailable, |challenge| DeviceAnswer::Challenge { challenge, name })
        };
        let (state, timing) = (binding.state(), record.family.timing);
        let invalid = |why| {
            self.config.events.of(EventKind::DeviceProofInvalid { why }, &key.id, &key.subject.name);
            // A browser with the key sends invalid proofs only if a challenge has expired.
            if state.confirmed && why != "challenge" {
                self.warn_unproven(&key, self.now());
            }
            challenge()
        };
        if !headers.contains_key(&PROOF) {
            return Err(challenge());
        }
        let proof =
            single_value(headers, &PROOF).ok_or("malformed").and_then(DeviceProof::read).map_err(invalid)?;
        // Only the proof of a registration contains a key. The proof of a refresh is verified with the key in the
        // record. If this key is confirmed, a proof of another key is refused. If it is provisional, a proof of another
        // key is ignored, and the refresh token decides.
        if proof.key.is_some() {
            return Err(invalid("key"));
        }
        let is_proven = PublicKey::from_jwk(&binding.jwk).is_ok_and(|public| proof.is_signed_by(&public));
        let proven_key = if is_proven { state.key } else { OTHER_KEY };
        let decision = decide_binding(Some(&state), Some(&proven_key), &timing, self.now());
        if decision == BindingDecision::OtherKey {
            return Err(invalid("other_key"));
        }
        if is_proven && !self.answers_own_challenge(&proof, Purpose::Refresh, &key.id) {
            return Err(invalid("challenge"));
        }
        if !is_proven && refresh.device.is_some() {
            // The token names a confirmed key, but the key in the record is provisional and another one. So the store
            // was restored from a backup.
            return Err(DeviceAnswer::Over);
        }
        if decision == BindingDecision::Confirm {
            self.confirm_device(&key, &binding).await?;
        }
        // The browser does not say whether the refresh is for a passive request. So if there are passive requests and
        // the key is confirmed, the refresh counts as passive, unless the record shows an active request since the last
        // rotation, hand-out and confirmation. After a refresh, the first active request with the new access token
        // writes this use to the record (`note_use`).
        let passive = is_proven
            && state.confirmed
            && self.has_passive_requests.load(Ordering::Relaxed)
            && record.family.is_unused_since_handout_or_confirmation();
        self.renew_device(request, refresh, name, RenewalKind { proven: is_proven, passive }).await
    }

    /// Renews the session after its key was proven, or while no proof is needed.
    async fn renew_device(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
        refresh: RefreshClaims,
        name: String,
        kind: RenewalKind,
    ) -> Result<DeviceAnswer<C>, DeviceAnswer<C>> {
        let mut context = self.device_context(request, kind);
        let mut renewal = self.renew_shared(&refresh, &context).await?;
        if context.passive && renewal.session.view().generation != refresh.generation {
            // The browser does not have the newest refresh token. Only an active renewal may hand it out, because that
            // writes the hand-out to the record.
            context.passive = false;
            renewal = self.renew_shared(&refresh, &context).await?;
        }
        if self.status_since_read(&renewal) == SessionStatus::Stale {
            // The claims changed meanwhile. Renew once more.
            renewal = self.renew_shared(&refresh, &context).await?;
        }
        let plan = ResponsePlan::Renewed { renewal: Box::new(renewal), arrived: request.arrived };
        Ok(DeviceAnswer::Bound { name, plan })
    }

    /// Writes that the session is bound to this key for good.
    async fn confirm_device(
        &self,
        key: &crate::store::SessionKey,
        binding: &DeviceBinding,
    ) -> Result<(), SessionError> {
        let now = self.now();
        let confirm = |record: &mut SessionRecord| {
            let applies = record.is_live(now) && DeviceBinding::of(record).as_ref() == Some(binding);
            if applies {
                binding.clone().confirm().attach(record);
            }
            applies
        };
        let written = self.compare_and_set("confirm_device", key, None, None, confirm).await;
        if written.map_err(|_| SessionError::Unavailable)?.applied {
            self.config.events.of(EventKind::DeviceConfirmed, &key.id, &key.subject.name);
        }
        Ok(())
    }

    /// The refresh token of the request's cookies.
    fn presented_refresh_token(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
    ) -> Result<RefreshClaims, DeviceAnswer<C>> {
        self.start_followers();
        if let Err(RejectionKind::NotLoopback) = self.check_loopback(&request.head) {
            return Err(DeviceAnswer::NotLoopback);
        }
        let (access, refresh) =
            scan(request.head.headers.get_all(header::COOKIE).iter(), &self.config.cookies);
        let refresh = match refresh {
            CookieValue::Conflict => {
                let chosen = self.choose_values(request.head.headers, (access, refresh), request.arrived);
                // Only the session layer asks the store which of several sessions is live, and its response can correct
                // the cookies. The answer here is `Unavailable`, so that a browser that refreshes keeps its key and
                // tries again later.
                chosen.map_err(|_| DeviceAnswer::Unavailable)?.1
            }
            one => one,
        };
        Ok(self.read_refresh(refresh, request.arrived.wall)?)
    }

    fn device_context(&self, request: &DeviceRequest<'_>, kind: RenewalKind) -> RequestContext {
        let RenewalKind { proven, passive } = kind;
        RequestContext {
            credential: Credential::Cookies,
            arrived: request.arrived,
            with_body: false,
            passive,
            proven,
            origin: self.origin_to_compare(&request.head),
        }
    }

    fn answers_own_challenge(&self, proof: &DeviceProof<'_>, purpose: Purpose, session: &SessionId) -> bool {
        let skew = self.config.policy.timing().grace;
        self.tokens.codec().is_challenge(&proof.challenge, purpose, session, self.now(), skew)
    }
}

/// The name of a session in the browser: a hash of its ID.
fn identifier(session: &SessionId) -> String {
    let hash =
        Sha256::new().chain_update(b"tower-sliding-sessions device v1").chain_update(session.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// Whether a script of this site sent the request by `fetch`. The script may be an attacker's. The browser's own
/// requests have another mode, or none.
fn is_by_script(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode == "cors" || mode == "same-origin")
}

/// The value of a header that comes once, as text or as a quoted string (RFC 9651).
fn single_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value))
}
