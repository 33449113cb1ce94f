//! A provider in this process, which can be hostile.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::{Request, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower_sliding_sessions::{HttpClient, HttpClientError};

pub(crate) const ISSUER: &str = "https://provider.example";
pub(crate) const CLIENT: &str = "the-client";

/// Two key pairs (RFC 8032, section 7.1, tests 1 and 2), by `kid`.
const KEYS: [(&str, &str, &str); 2] = [
    (
        "one",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "two",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2);
    digits.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// What the provider does next.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) is_down: bool,
    /// It does not answer, and does not hang up either.
    pub(crate) hangs: bool,
    /// A proxy answers in its place, with this status.
    pub(crate) proxy: Option<u16>,
    pub(crate) access_token: &'static str,
    /// The `kid`s that it publishes.
    pub(crate) published: Vec<&'static str>,
    /// Of the token endpoint's next answer.
    pub(crate) id_token: String,
    pub(crate) challenge: String,
    pub(crate) token_error: Option<&'static str>,
    /// None: it refuses the access token.
    pub(crate) userinfo: Option<Value>,
    /// More members of discovery.
    pub(crate) discovery: Value,
    /// The paths that were asked for.
    pub(crate) requests: Vec<String>,
}

/// The provider as an HTTP client. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            is_down: false,
            hangs: false,
            proxy: None,
            access_token: "an-access-token",
            published: vec!["one"],
            id_token: String::new(),
            challenge: String::new(),
            token_error: None,
            userinfo: None,
            discovery: json!({}),
            requests: Vec::new(),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|asked| *asked == path).count()
    }
}

impl HttpClient for Fake {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpClientError> {
        assert!(request.uri().to_string().starts_with(ISSUER));
        let hangs = {
            let mut state = self.state();
            state.requests.push(request.uri().path().to_owned());
            state.hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let state = self.state();
        if state.is_down {
            return Err(HttpClientError::new("connection refused"));
        }
        if let Some(status) = state.proxy {
            let response = Response::builder().status(status).header("content-type", "text/html");
            return Ok(response.body(b"<h1>Bad gateway</h1>".to_vec()).expect("a response"));
        }
        let (status, body) = match request.uri().path() {
            "/.well-known/openid-configuration" => (200, discovery(&state.discovery)),
            "/jwks" => {
                (200, json!({ "keys": state.published.iter().map(|kid| jwk(kid)).collect::<Vec<_>>() }))
            }
            "/token" => token(&state, request.body()),
            "/me" => match &state.userinfo {
                Some(claims) => (200, claims.clone()),
                None => (401, json!({})),
            },
            other => panic!("{other}"),
        };
        let response = Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(body.to_string().into_bytes()).expect("a response"))
    }
}

fn discovery(more: &Value) -> Value {
    let mut document = json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/token"),
        "userinfo_endpoint": format!("{ISSUER}/me"),
        "jwks_uri": format!("{ISSUER}/jwks"),
        "end_session_endpoint": format!("{ISSUER}/end"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        "authorization_response_iss_parameter_supported": true,
    });
    merge(&mut document, more);
    document
}

/// `null` removes a member.
pub(crate) fn merge(to: &mut Value, from: &Value) {
    let (Value::Object(to), Value::Object(from)) = (to, from) else { return };
    for (name, value) in from {
        match value {
            Value::Null => to.remove(name),
            value => to.insert(name.clone(), value.clone()),
        };
    }
}

fn jwk(kid: &str) -> Value {
    let (_, _, public) = KEYS.iter().find(|(name, ..)| *name == kid).expect("a key");
    let x = URL_SAFE_NO_PAD.encode(bytes(public));
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x})
}

fn token(state: &State, body: &[u8]) -> (u16, Value) {
    if let Some(error) = state.token_error {
        return (400, json!({ "error": error, "error_description": "<script>evil()</script>" }));
    }
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    if body.contains("grant_type=refresh_token&refresh_token=good") {
        return (200, json!({ "access_token": "next", "token_type": "Bearer", "refresh_token": "better" }));
    }
    if body.contains("grant_type=refresh_token") {
        return (400, json!({ "error": "invalid_grant" }));
    }
    let verifier = body.split('&').find_map(|pair| pair.strip_prefix("code_verifier=")).expect("PKCE");
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != state.challenge {
        return (400, json!({ "error": "invalid_grant" }));
    }
    let answer = json!({
        "access_token": state.access_token, "token_type": "Bearer", "expires_in": 60, "id_token": state.id_token,
    });
    (200, answer)
}

/// A token with these claims, signed with the secret key of `key`, under any header.
pub(crate) fn sign_as(header: &Header, key: &str, claims: &Value) -> String {
    let (_, secret, _) = KEYS.iter().find(|(name, ..)| *name == key).expect("a key");
    let der = [&bytes("302e020100300506032b657004220420")[..], &bytes(secret)].concat();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_der(&der)).expect("signed")
}

pub(crate) fn header(kid: &str, kind: Option<&str>) -> Header {
    Header { kid: Some(kid.to_owned()), typ: kind.map(str::to_owned), ..Header::new(Algorithm::EdDSA) }
}

/// A token of the provider's.
pub(crate) fn sign(claims: &Value) -> String {
    sign_as(&header("one", None), "one", claims)
}
