//! Alternatives that verify a JWT from a cookie. None of them renews it.

use std::{hint::black_box, rc::Rc, sync::Arc};

use axum::{Router, body::Body, routing::get};
use axum_jwt_auth::{Claims, CookieTokenExtractor, LocalDecoder, define_cookie_extractor};
use jsonwebtoken::{EncodingKey, Header};
use jwt_authorizer::{Authorizer, IntoLayer as _, JwtAuthorizer, JwtClaims, Validation, layer::JwtSource};
use tokio::runtime::Runtime;

use crate::work::{Contender, ED25519_PRIVATE, ED25519_PUBLIC, PeerClaims, SECRET, serving};

define_cookie_extractor!(AccessCookie, "__Host-access");

fn token(algorithm: jsonwebtoken::Algorithm, key: &EncodingKey) -> String {
    let token = jsonwebtoken::encode(&Header::new(algorithm), &PeerClaims::new(), key);
    format!("__Host-access={}", token.expect("a token"))
}

fn axum_jwt_auth() -> Router {
    use jsonwebtoken10::{Algorithm, DecodingKey, Validation};

    type User = Claims<PeerClaims, CookieTokenExtractor<AccessCookie>>;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["sessions"]);
    let keys = vec![DecodingKey::from_secret(SECRET.as_bytes())];
    let decoder = LocalDecoder::builder().keys(keys).validation(validation).build().expect("a decoder");
    let decoder: axum_jwt_auth::Decoder<PeerClaims> = Arc::new(decoder);
    let me = get(async |user: User| {
        black_box(user.claims.ext.roles.len());
        "hello"
    });
    Router::new().route("/me", me).with_state(decoder)
}

fn jwt_authorizer(authorizer: Authorizer<PeerClaims>) -> axum07::Router {
    async fn me(JwtClaims(user): JwtClaims<PeerClaims>) -> &'static str {
        black_box(user.ext.roles.len());
        "hello"
    }
    axum07::Router::new().route("/me", axum07::routing::get(me)).layer(authorizer.into_layer())
}

pub fn all(runtime: &Rc<Runtime>) -> Vec<Contender> {
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let private = EncodingKey::from_ed_pem(ED25519_PRIVATE.as_bytes()).expect("a key");
    let hs256 = token(jsonwebtoken::Algorithm::HS256, &secret);
    let ed25519 = token(jsonwebtoken::Algorithm::EdDSA, &private);
    let authorizer = |builder: jwt_authorizer::AuthorizerBuilder<PeerClaims>| {
        let builder = builder.jwt_source(JwtSource::Cookie("__Host-access".to_owned()));
        let builder = builder.validation(Validation::new().aud(&["sessions"]));
        jwt_authorizer(runtime.block_on(builder.build()).expect("an authorizer"))
    };
    let by_secret = authorizer(JwtAuthorizer::from_secret(SECRET));
    let by_key = authorizer(JwtAuthorizer::from_ed_pem_text(ED25519_PUBLIC));
    vec![
        serving::<_, Body, _>("axum-jwt-auth, HS256", runtime, axum_jwt_auth(), &hs256),
        serving::<_, axum07::body::Body, _>("jwt-authorizer, HS256", runtime, by_secret, &hs256),
        serving::<_, axum07::body::Body, _>("jwt-authorizer, Ed25519", runtime, by_key, &ed25519),
    ]
}
