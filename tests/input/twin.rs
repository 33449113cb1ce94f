//! A service that only verifies, next to the issuer: it must accept and refuse the same access tokens. The issuer's
//! tokens are signed by HMAC, so each is signed again by the twin's key if its signature is valid.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    routing::get,
};
use jsonwebtoken::{Algorithm, EncodingKey};
use tower::ServiceExt as _;
use tower_sliding_sessions::{ManualClock, PublicKey, Verified, Verifier, VerifierBuilder};

use crate::{
    forge::{Forge, Kind, encode, part},
    store::Counted,
    vectors::{ED25519_PUBLIC, ED25519_V1},
    world::{ACCESS, Profile},
};

pub(crate) type Builder = VerifierBuilder<Profile>;

pub(crate) struct Twin {
    app: Router,
    key: EncodingKey,
    kid: String,
}

impl Twin {
    pub(crate) fn new(
        store: &Counted,
        clock: &Arc<ManualClock>,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let public = PublicKey::from_pem(ED25519_PUBLIC).expect("a public key");
        let kid = public.kid().to_owned();
        let builder = Verifier::with_keys([public]).accept_cookie(|cookies| cookies);
        let builder = configure(builder.follow(store.clone()).clock(clock.clone()));
        let verifier = builder.build().expect("valid settings");
        let me = get(async |token: Verified<Profile>| Json(token.claims().clone()));
        let app = Router::new().route("/me", me).route_layer(verifier.layer());
        let key = EncodingKey::from_ed_pem(ED25519_V1.as_bytes()).expect("a private key");
        Self { app, key, kid }
    }

    /// The token as the twin's key signs it, if the issuer's key signed it.
    fn signed(&self, forge: &Forge, token: &[u8]) -> Vec<u8> {
        let signed_again = || {
            let (message, signature) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
            if encode(forge.mac(Kind::Access, message.as_bytes())) != signature {
                return None;
            }
            let (head, payload) = message.split_once('.')?;
            let is_readable = encode(crate::forge::decode(head)?) == head;
            let head = match String::from_utf8(crate::forge::decode(head)?) {
                Ok(text) if is_readable => {
                    let alg = |text: &str, from, to| text.replacen(from, to, 1);
                    let text = if text.contains("EdDSA") {
                        alg(&text, "EdDSA", "HS256")
                    } else {
                        alg(&text, "HS256", "EdDSA")
                    };
                    encode(text.replacen(&forge.kid, &self.kid, 1))
                }
                _ => head.to_owned(),
            };
            let message = format!("{head}.{payload}");
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::EdDSA);
            Some(format!("{message}.{}", signature.expect("a signature")).into_bytes())
        };
        signed_again().unwrap_or_else(|| token.to_vec())
    }

    async fn get(&self, name: header::HeaderName, value: &[u8]) -> Option<StatusCode> {
        let value = HeaderValue::from_bytes(value).ok()?;
        let request = Request::builder().uri("/me").header(header::HOST, "app.example").header(name, value);
        let request = request.body(Body::empty()).expect("a request");
        Some(self.app.clone().oneshot(request).await.expect("infallible").status())
    }

    /// The statuses for the token as a bearer token and as the access cookie.
    async fn statuses(&self, forge: &Forge, token: &[u8]) -> [Option<StatusCode>; 2] {
        let token = self.signed(forge, token);
        let bearer = self.get(header::AUTHORIZATION, &[b"Bearer ", &token[..]].concat()).await;
        [bearer, self.get(header::COOKIE, &[ACCESS.as_bytes(), b"=", &token].concat()).await]
    }

    pub(crate) async fn refuses(&self, what: &str, forge: &Forge, token: &[u8]) {
        let [bearer, cookie] = self.statuses(forge, token).await;
        assert!(
            matches!(bearer, None | Some(StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST)),
            "{what}: {bearer:?}"
        );
        assert!(matches!(cookie, None | Some(StatusCode::UNAUTHORIZED)), "{what}: {cookie:?}");
    }

    pub(crate) async fn accepts(&self, forge: &Forge, token: &[u8]) -> bool {
        let statuses = self.statuses(forge, token).await;
        assert_eq!(statuses[0], statuses[1]);
        statuses[0] == Some(StatusCode::OK)
    }
}

#[tokio::test]
async fn twin_accepts_the_legitimate_token_and_no_refresh_token() {
    let world = crate::world::World::new().await;
    let twin = world.twin.as_ref().expect("a twin");
    assert!(twin.accepts(&world.forge, world.legitimate.access.as_bytes()).await);
    assert!(!twin.accepts(&world.forge, world.legitimate.refresh.as_bytes()).await);
    assert!(!part(&world.legitimate.refresh, 1).is_empty());
}
