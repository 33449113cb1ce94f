//! A cache of the provider's addresses and keys, from discovery.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{Request, Response, StatusCode, Uri};
use openidconnect::{
    AdditionalProviderMetadata, AuthType, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IssuerUrl, JsonWebKeySet, ProviderMetadata, RedirectUrl,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
        CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    cross_site,
    http_client::{DynHttpClient, HttpClientError},
    time::Clock,
};

/// The maximum length of a response of the provider, in bytes.
const LONGEST: usize = 256 * 1024;
/// The maximum time of one request to the provider.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the addresses and the keys are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long the addresses and the keys are used while the provider does not answer.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest time between two fetches that unknown keys cause, if the first fetch succeeded.
const FLOOR: Duration = Duration::from_secs(60);
/// The shortest time between a failed fetch and the next fetch.
const RETRY_FLOOR: Duration = Duration::from_secs(2);

/// The members of the discovery document that `openidconnect` does not know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Extra {
    #[serde(default)]
    end_session_endpoint: Option<String>,
    /// RFC 9207.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider, as discovery describes it.
pub(super) struct Provider {
    pub(super) client: Client,
    pub(super) keys: JsonWebKeySet<CoreJsonWebKey>,
    /// The algorithms of the provider's tokens that discovery names, without HMAC and `none`.
    pub(super) algorithms: Vec<CoreJwsSigningAlgorithm>,
    /// The address for RP-initiated logout.
    pub(super) end_session: Option<String>,
    /// Whether the provider's authorization responses have `iss` (RFC 9207).
    pub(super) sends_issuer: bool,
    /// Whether the provider supports the parameter `claims`.
    pub(super) takes_claims: bool,
}

/// Why the provider's addresses and keys are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    /// The text contains no token.
    #[error("discovery failed: {0}")]
    Discovery(String),
    #[error("the provider names an address without HTTPS: {0}")]
    Insecure(String),
    #[error("the provider signs with no algorithm that is accepted: asymmetric ones only")]
    Algorithms,
    #[error("the last request failed a moment ago")]
    Recently,
}

impl ProviderError {
    /// The word for the event. Each request can cause `Recently`. Only a request to the provider can cause the other
    /// errors.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Recently => "unavailable",
            Self::Discovery(_) | Self::Insecure(_) | Self::Algorithms => "discovery",
        }
    }
}

/// This application's registration as a client of the provider.
pub(super) struct Registration {
    pub(super) issuer: IssuerUrl,
    pub(super) client_id: ClientId,
    pub(super) client_secret: Option<ClientSecret>,
    pub(super) redirect: RedirectUrl,
}

/// The cache of one provider's addresses and keys.
pub(super) struct ProviderCache {
    pub(super) registration: Registration,
    http: DynHttpClient,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// Held during a fetch, so that only one fetch runs at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct State {
    provider: Option<Arc<Provider>>,
    /// When `provider` was fetched, by the monotonic clock.
    fetched: Duration,
    tried: Option<Duration>,
    failed: bool,
}

type Sent = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, HttpClientError>> + Send>>;

impl ProviderCache {
    pub(super) fn new(registration: Registration, http: DynHttpClient, clock: Arc<dyn Clock>) -> Self {
        Self { registration, http, clock, state: RwLock::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// A function that sends requests, in the form that `openidconnect` needs.
    pub(super) fn http(&self) -> impl Fn(Request<Vec<u8>>) -> Sent + Send + Sync + use<> {
        let http = self.http.clone();
        move |request| {
            let http = http.clone();
            Box::pin(async move {
                let response = http.send(request, LONGEST, DEADLINE).await?;
                match response.status() {
                    // Such a response comes from a proxy, or from a provider that failed. It does not count as an
                    // answer.
                    status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                        Err(HttpClientError::new(format!("the provider answers with {status}")))
                    }
                    _ => Ok(response),
                }
            })
        }
    }

    /// Returns the provider. Fetches its addresses and keys at the first call, and later once an hour.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Arc<Provider>, ProviderError> {
        let now = self.clock.monotonic();
        let known = self.known(now);
        if let Some((provider, age)) = &known
            && *age < FRESH
        {
            return Ok(provider.clone());
        }
        let Some((provider, _)) = known else {
            // All callers wait for the first answer.
            let _turn = self.fetching.lock().await;
            return match self.known(self.clock.monotonic()) {
                Some((provider, _)) => Ok(provider),
                None => self.fetch(RETRY_FLOOR).await,
            };
        };
        match self.fetching.try_lock() {
            Ok(_turn) => Ok(self.fetch(FLOOR).await.unwrap_or(provider)),
            Err(_) => Ok(provider),
        }
    }

    /// Returns the provider as fetched after `than`, because the keys of `than` lack the key of a token.
    ///
    /// # Errors
    /// [`ProviderError::Recently`] if the provider was asked a moment ago. There is such a limit, because an anonymous
    /// client can send any number of unknown keys. After any error, the key may exist.
    pub(super) async fn newer(
        self: &Arc<Self>,
        than: &Arc<Provider>,
    ) -> Result<Arc<Provider>, ProviderError> {
        let _turn = self.fetching.lock().await;
        match self.known(self.clock.monotonic()) {
            Some((current, _)) if !Arc::ptr_eq(&current, than) => Ok(current),
            _ => self.fetch(FLOOR).await,
        }
    }

    /// The provider in the cache, and its age. Returns `None` if the cache is empty, or if the age is [`STALE`] or
    /// more.
    fn known(&self, now: Duration) -> Option<(Arc<Provider>, Duration)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_sub(state.fetched);
        state.provider.clone().filter(|_| age < STALE).map(|provider| (provider, age))
    }

    /// Fetches the provider, unless it was asked less than `floor` ago. After a failed fetch, [`RETRY_FLOOR`] replaces
    /// `floor`. The caller holds the lock `fetching`.
    async fn fetch(self: &Arc<Self>, floor: Duration) -> Result<Arc<Provider>, ProviderError> {
        let now = self.clock.monotonic();
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let floor = if state.failed { RETRY_FLOOR } else { floor };
            if state.tried.is_some_and(|tried| now < tried.saturating_add(floor)) {
                return Err(ProviderError::Recently);
            }
            // This is set before the request, because the caller's future may be dropped during the request.
            state.tried = Some(now);
        }
        // A task continues if the client of this caller disconnects, so the other callers get the answer.
        let cache = self.clone();
        let fetching = tokio::spawn(async move {
            let fetched = cache.discover().await.map(Arc::new);
            let mut state = cache.state.write().unwrap_or_else(PoisonError::into_inner);
            // This is set again after the answer. Otherwise, if the provider hangs, the callers that waited for this
            // fetch would each wait for a fetch in turn.
            (state.tried, state.failed) = (Some(cache.clock.monotonic()), fetched.is_err());
            if let Ok(provider) = &fetched {
                (state.provider, state.fetched) = (Some(provider.clone()), now);
            }
            fetched
        });
        fetching.await.unwrap_or_else(|panic| Err(ProviderError::Discovery(panic.to_string())))
    }

    async fn discover(&self) -> Result<Provider, ProviderError> {
        let Registration { issuer, client_id, client_secret, redirect } = &self.registration;
        let metadata = Metadata::discover_async(issuer.clone(), &self.http())
            .await
            .map_err(|error| ProviderError::Discovery(crate::event::cause(&error).to_string()))?;
        let end_session = metadata.additional_metadata().end_session_endpoint.clone();
        let addresses = [
            Some(metadata.authorization_endpoint().as_str()),
            Some(metadata.jwks_uri().as_str()),
            metadata.token_endpoint().map(|address| address.as_str()),
            metadata.userinfo_endpoint().map(|address| address.as_str()),
            end_session.as_deref(),
        ];
        // An `http` address must be a loopback address, and is only for a provider whose issuer also has such an
        // address.
        let is_local = issuer.url().scheme() == "http";
        let is_good = |address: &str| {
            address.parse().is_ok_and(|uri: Uri| match is_local {
                true => is_trustworthy(&uri),
                false => uri.scheme_str() == Some("https"),
            })
        };
        if let Some(bad) = addresses.into_iter().flatten().find(|address| !is_good(address)) {
            return Err(ProviderError::Insecure(bad.to_owned()));
        }
        let algorithms: Vec<_> = metadata
            .id_token_signing_alg_values_supported()
            .iter()
            .filter(|algorithm| is_asymmetric(algorithm))
            .cloned()
            .collect();
        if algorithms.is_empty() {
            return Err(ProviderError::Algorithms);
        }
        let methods = metadata.token_endpoint_auth_methods_supported();
        // Basic authentication is the default (OpenID Connect Discovery, section 3).
        let takes_basic =
            methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let (keys, sends_issuer, takes_claims) = (
            metadata.jwks().clone(),
            metadata.additional_metadata().authorization_response_iss_parameter_supported,
            metadata.claims_parameter_supported() == Some(true),
        );
        let client = Client::from_provider_metadata(metadata, client_id.clone(), client_secret.clone())
            .set_redirect_uri(redirect.clone())
            .set_auth_type(if takes_basic { AuthType::BasicAuth } else { AuthType::RequestBody });
        Ok(Provider { client, keys, algorithms, end_session, sends_issuer, takes_claims })
    }
}

/// Whether only the provider can sign with this algorithm. An HMAC key is the client secret, which this application
/// also has.
fn is_asymmetric(algorithm: &CoreJwsSigningAlgorithm) -> bool {
    use CoreJwsSigningAlgorithm as Alg;
    matches!(
        algorithm,
        Alg::RsaSsaPkcs1V15Sha256
            | Alg::RsaSsaPkcs1V15Sha384
            | Alg::RsaSsaPkcs1V15Sha512
            | Alg::RsaSsaPssSha256
            | Alg::RsaSsaPssSha384
            | Alg::RsaSsaPssSha512
            | Alg::EcdsaP256Sha256
            | Alg::EcdsaP384Sha384
            | Alg::EdDsa
    )
}

/// Whether an address protects the data that is sent to it: HTTPS, or an address of this machine.
pub(super) fn is_trustworthy(uri: &Uri) -> bool {
    match (uri.scheme_str(), uri.authority()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(authority)) => cross_site::is_loopback(authority.host()),
        _ => false,
    }
}
