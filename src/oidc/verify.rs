//! Exchanges the code for an identity: token request, ID token, userinfo.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalClaims, AuthorizationCode, ClaimsVerificationError,
    IdTokenVerifier, Nonce, OAuth2TokenResponse as _, PkceCodeVerifier, RefreshToken, RequestTokenError,
    SignatureVerificationError, StandardErrorResponse, SubjectIdentifier, TokenResponse as _, UserInfoClaims,
    UserInfoError,
    core::{CoreErrorResponseType, CoreGenderClaim, CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Identity, Inner, Problem, Tokens,
    attempt::Attempt,
    provider::{Provider, ProviderError},
};
use crate::{event, http_client::HttpClientError, time::Timestamp};
use std::sync::Arc;

/// How far the provider's clock may differ from the clock of this instance.
pub(super) const SKEW: Duration = Duration::from_secs(60);
/// The maximum number of authentication methods that a session gets, and the maximum length of a method, in bytes.
const MOST_METHODS: (usize, usize) = (8, 32);
/// The maximum length of `sub` and `sid`, in bytes. OpenID Connect allows 255 characters for `sub`.
pub(super) const LONGEST_NAME: usize = 1024;

/// Why a step failed: the problem that the user sees, a word for the event, and the cause.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    pub(super) why: &'static str,
    pub(super) cause: Option<String>,
}

impl Failure {
    pub(super) fn new(problem: Problem, why: &'static str) -> Self {
        Self { problem, why, cause: None }
    }

    pub(super) fn invalid(why: &'static str, cause: impl Into<String>) -> Self {
        Self { problem: Problem::InvalidResponse, why, cause: Some(cause.into()) }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        let problem = match error {
            ProviderError::Discovery(_) | ProviderError::Recently => Problem::ProviderUnavailable,
            ProviderError::Insecure(_) | ProviderError::Algorithms => Problem::InvalidResponse,
        };
        Self { problem, why: error.word(), cause: Some(error.to_string()) }
    }
}

impl From<HttpClientError> for Failure {
    fn from(error: HttpClientError) -> Self {
        let cause = Some(event::cause(&error).to_string());
        Self { problem: Problem::ProviderUnavailable, why: "request", cause }
    }
}

/// An identity, its ID token, and when the session must end.
pub(super) struct Verified {
    pub(super) identity: Identity,
    pub(super) id_token: String,
    /// `iat` of the ID token, by the provider's clock.
    pub(super) issued: Timestamp,
    pub(super) ends: Ends,
}

/// When a session must end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The end by `max_age`. Another authentication makes this end later.
    pub(super) by_age: Option<Timestamp>,
    /// The end by `session_expiry`.
    pub(super) by_provider: Option<Timestamp>,
}

impl Ends {
    pub(super) fn first(self) -> Option<Timestamp> {
        self.by_age.into_iter().chain(self.by_provider).min()
    }
}

/// The claims that `openidconnect` does not know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Others {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Others {}

impl<C> Inner<C> {
    /// Exchanges the code of a sign-in, and verifies the response.
    pub(super) async fn exchange(
        &self,
        provider: &Arc<Provider>,
        attempt: &Attempt,
        code: String,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let http = self.provider.http();
        let unusable = |error: String| Failure::invalid("token_response", error);
        let request = provider.client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| unusable(error.to_string()))?;
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let answer = request.set_pkce_verifier(verifier).request_async(&http).await;
        let tokens = answer.map_err(token_failure)?;
        let id_token = tokens.id_token().ok_or_else(|| unusable("it has no ID token".to_owned()))?;
        let claims = self.verify_id_token(provider, id_token, attempt, tokens.access_token(), now).await?;
        let text = id_token.to_string();
        let all = payload(&text).ok_or_else(|| Failure::invalid("id_token", "its claims are no object"))?;
        let subject = claims.subject().as_str().to_owned();
        let session = match all.get("sid") {
            None => None,
            Some(Value::String(sid)) if is_name(sid) => Some(sid.clone()),
            Some(_) => return Err(Failure::invalid("id_token", "its sid is not a short text")),
        };
        if !is_name(&subject) {
            return Err(Failure::invalid("id_token", "its sub is empty, or too long"));
        }
        let auth_time = claims.auth_time().map(|time| Timestamp::from(SystemTime::from(time)));
        let ends = self.check_times(&all, auth_time, attempt, now)?;
        let userinfo = match self.settings.userinfo {
            true => Some(self.userinfo_of(provider, tokens.access_token().clone(), subject.clone()).await?),
            false => None,
        };
        let methods = claims.auth_method_refs().into_iter().flatten().map(|method| method.to_string());
        let identity = Identity {
            issuer: claims.issuer().to_string(),
            subject,
            session,
            // If the provider's clock is ahead, the authentication must not count for longer.
            auth_time: auth_time.map(|time| time.min(now)),
            methods: methods.filter(|method| method.len() <= MOST_METHODS.1).take(MOST_METHODS.0).collect(),
            context: claims.auth_context_ref().map(|context| context.to_string()),
            claims: all,
            userinfo,
            tokens: Tokens::of(&tokens),
        };
        let issued = Timestamp::from(SystemTime::from(claims.issue_time()));
        Ok(Verified { identity, id_token: text, issued, ends })
    }

    /// Verifies an ID token (OpenID Connect Core, section 3.1.3.7). If its key is unknown, the provider's keys are
    /// fetched again.
    async fn verify_id_token<'t>(
        &self,
        provider: &Arc<Provider>,
        id_token: &'t CoreIdToken,
        attempt: &Attempt,
        access_token: &AccessToken,
        now: Timestamp,
    ) -> Result<&'t CoreIdTokenClaims, Failure> {
        let nonce = Nonce::new(attempt.nonce.clone());
        let mut provider = provider.clone();
        let mut verifier = self.id_token_verifier(&provider, now);
        let mut claims = id_token.claims(&verifier, &nonce);
        if let Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) =
            claims
            && let Ok(newer) = self.provider.newer(&provider).await
        {
            provider = newer;
            verifier = self.id_token_verifier(&provider, now);
            claims = id_token.claims(&verifier, &nonce);
        }
        let claims = claims.map_err(|error| {
            let why = match error {
                ClaimsVerificationError::InvalidNonce(_) => "nonce",
                _ => "id_token",
            };
            Failure::invalid(why, event::cause(&error).to_string())
        })?;
        // The library leaves this check to its caller.
        if claims.authorized_party().is_some_and(|party| *party != self.provider.registration.client_id) {
            return Err(Failure::invalid("id_token", "azp is another client"));
        }
        if let Some(hash) = claims.access_token_hash() {
            let (algorithm, key) = (id_token.signing_alg(), id_token.signing_key(&verifier));
            let actual = algorithm
                .and_then(|algorithm| Ok((algorithm, key?)))
                .ok()
                .and_then(|(algorithm, key)| AccessTokenHash::from_token(access_token, algorithm, key).ok());
            if actual.as_ref().map(|actual| actual.as_str()) != Some(hash.as_str()) {
                return Err(Failure::invalid("id_token", "at_hash is that of another access token"));
            }
        }
        Ok(claims)
    }

    fn id_token_verifier(&self, provider: &Provider, now: Timestamp) -> CoreIdTokenVerifier<'static> {
        let registration = &self.provider.registration;
        // Verify as a public client does. Otherwise, the client secret would be a key for ID tokens.
        IdTokenVerifier::new_public_client(
            registration.client_id.clone(),
            registration.issuer.clone(),
            provider.keys.clone(),
        )
        .set_allowed_algs(provider.algorithms.iter().cloned())
        .set_time_fn(move || SystemTime::from(now).into())
        .set_issue_time_verifier_fn(move |issued| {
            match Timestamp::from(SystemTime::from(issued)) > now + SKEW {
                true => Err("iat is in the future".to_owned()),
                false => Ok(()),
            }
        })
    }

    /// Checks when the user authenticated, and returns when the session must end.
    fn check_times(
        &self,
        claims: &Map<String, Value>,
        auth_time: Option<Timestamp>,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Ends, Failure> {
        let invalid = |cause: &str| Failure::invalid("auth_time", cause);
        if auth_time.is_some_and(|time| time > now + SKEW) {
            return Err(invalid("auth_time is in the future"));
        }
        let max_age = self.settings.max_age;
        // The provider must send `auth_time` if `max_age` was requested (OpenID Connect Core, section 2).
        if auth_time.is_none() && (max_age.is_some() || attempt.reauthenticates) {
            return Err(invalid("the ID token has no auth_time"));
        }
        if attempt.reauthenticates && auth_time.is_some_and(|time| time + SKEW < attempt.began) {
            return Err(invalid("the user did not authenticate again"));
        }
        let by_age = auth_time.zip(max_age).map(|(time, age)| time + age);
        let by_provider = match claims.get("session_expiry") {
            None => None,
            Some(value) => {
                let secs = value.as_u64().ok_or_else(|| invalid("session_expiry is not a time"))?;
                Some(Timestamp::from_secs(secs))
            }
        };
        Ok(Ends { by_age, by_provider })
    }

    /// Exchanges a refresh token.
    pub(super) async fn refreshed(
        &self,
        provider: &Provider,
        refresh_token: String,
    ) -> Result<Tokens, Problem> {
        let http = self.provider.http();
        let token = RefreshToken::new(refresh_token);
        let request = provider.client.exchange_refresh_token(&token).map_err(|_| Problem::InvalidResponse)?;
        match request.request_async(&http).await {
            Ok(answer) => Ok(Tokens::of(&answer)),
            Err(RequestTokenError::ServerResponse(error))
                if *error.error() == CoreErrorResponseType::InvalidGrant =>
            {
                Err(Problem::AccessDenied)
            }
            Err(error) => Err(token_failure(error).problem),
        }
    }

    /// Asks the userinfo endpoint. The response must be about `subject`.
    pub(super) async fn userinfo_of(
        &self,
        provider: &Provider,
        access_token: AccessToken,
        subject: String,
    ) -> Result<Map<String, Value>, Failure> {
        // The library would panic if a header cannot contain the access token.
        if HeaderValue::from_str(access_token.secret()).is_err() {
            return Err(Failure::invalid("userinfo", "the access token is not text for a header"));
        }
        let http = self.provider.http();
        let request = provider.client.user_info(access_token, Some(SubjectIdentifier::new(subject)));
        let request = request.map_err(|error| Failure::invalid("userinfo", error.to_string()))?;
        let answer: Result<UserInfoClaims<Others, CoreGenderClaim>, _> = request.request_async(&http).await;
        let claims = answer.map_err(|error| match error {
            UserInfoError::Request(error) => error.into(),
            UserInfoError::Response(status, ..) if status == 401 || status == 403 => {
                Failure::new(Problem::AccessDenied, "userinfo")
            }
            UserInfoError::ClaimsVerification(error) => {
                Failure::invalid("userinfo", event::cause(&error).to_string())
            }
            _ => Failure::invalid("userinfo", "the answer cannot be read"),
        })?;
        match serde_json::to_value(&claims) {
            Ok(Value::Object(claims)) => Ok(claims),
            _ => Err(Failure::invalid("userinfo", "the answer cannot be read")),
        }
    }
}

type TokenError = RequestTokenError<HttpClientError, StandardErrorResponse<CoreErrorResponseType>>;

fn token_failure(error: TokenError) -> Failure {
    match error {
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::ServerResponse(error) => Failure::invalid("code", error.to_string()),
        // The parser's error would contain a token.
        RequestTokenError::Parse(..) => Failure::invalid("token_response", "it cannot be read"),
        RequestTokenError::Other(error) => Failure::invalid("token_response", error),
    }
}

/// The claims of a token whose signature was verified.
fn payload(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Whether the text can be the provider's name for a user or a session.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME
}
