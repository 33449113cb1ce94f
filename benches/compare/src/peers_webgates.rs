//! An alternative that verifies a JWT from a cookie, and applies a policy to its user.

use std::{collections::HashSet, hint::black_box, rc::Rc, sync::Arc};

use axum::{Extension, Router, body::Body, routing::get};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use tokio::runtime::Runtime;
use webgates::{
    accounts::Account,
    codecs::{
        self, Codec,
        errors::{JwtError, JwtOperation},
        jwt::{JwtClaims, RegisteredClaims},
    },
    cookie_template::CookieTemplate,
    groups::Group,
    roles::Role,
};
use webgates_axum::gate::Gate;

use crate::work::{Contender, PeerClaims, SECRET, serving};

const ISSUER: &str = "https://app.example";

type User = Account<Role, Group>;

/// Its own codec supports only ES384, whose signatures would dominate the figures.
#[derive(Clone)]
struct Hs256 {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Hs256 {
    fn new() -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["sessions"]);
        let secret = SECRET.as_bytes();
        let (encoding, decoding) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self { encoding, decoding, validation }
    }
}

impl Codec for Hs256 {
    type Payload = JwtClaims<User>;

    fn encode(&self, claims: &JwtClaims<User>) -> codecs::Result<Vec<u8>> {
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding);
        let token = token.map_err(|error| JwtError::processing(JwtOperation::Encode, error.to_string()))?;
        Ok(token.into_bytes())
    }

    fn decode(&self, token: &[u8]) -> codecs::Result<JwtClaims<User>> {
        let decoded = jsonwebtoken::decode(token, &self.decoding, &self.validation);
        let decoded =
            decoded.map_err(|error| JwtError::processing(JwtOperation::Decode, error.to_string()))?;
        Ok(decoded.claims)
    }
}

fn claims() -> JwtClaims<User> {
    let PeerClaims { aud, sub, sid, exp, .. } = PeerClaims::new();
    let user = Account::new(&sub).with_roles(vec![Role::User, Role::Reporter]);
    let mut registered = RegisteredClaims::new(ISSUER, exp).with_session_id(sid);
    registered.audience = Some(HashSet::from([aud]));
    JwtClaims::new(user, registered)
}

pub fn contender(runtime: &Rc<Runtime>) -> Contender {
    let codec = Hs256::new();
    let token = codec.encode(&claims()).expect("a token");
    let ours = format!("__Host-access={}", String::from_utf8(token).expect("ASCII"));
    let gate = Gate::cookie(ISSUER, Arc::new(codec))
        .with_cookie_template(CookieTemplate::recommended().name("__Host-access"))
        .require_login();
    let me = get(async |Extension(user): Extension<User>| {
        black_box(user.roles.len());
        "hello"
    });
    let app = Router::new().route("/me", me).layer(gate);
    serving::<_, Body, _>("webgates-axum, HS256", runtime, app, &ours)
}
