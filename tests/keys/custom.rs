//! A signer of the application in the key ring.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use serde_json::json;
use tower_sliding_sessions::{
    KeyError, KeyStep, Keyring, PublicKey,
    jsonwebtoken::{
        Algorithm,
        crypto::{JwtSigner, JwtVerifier},
        signature::{Error, Signer, Verifier},
    },
};

use crate::{
    samples::{ED25519_KID, ed25519, with},
    support::{TTL, World, idle, keys},
};

/// A key in a KMS.
#[derive(Clone)]
struct Kms(SigningKey);

impl Kms {
    fn new() -> Self {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let seed = URL_SAFE_NO_PAD.decode(ed25519()["d"].as_str().unwrap()).unwrap();
        Self(SigningKey::from_bytes(&seed.try_into().unwrap()))
    }

    fn ring(&self) -> Keyring {
        let secret = b"Kq8v2Lm5xTz1Wn7bRc4Ye9Uj3Hd6Gf0P";
        Keyring::custom("kms", self.clone(), Public(self.0.verifying_key()), secret).unwrap()
    }
}

struct Public(VerifyingKey);

impl Signer<Vec<u8>> for Kms {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.try_sign(message)?.to_vec())
    }
}

impl JwtSigner for Kms {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.0.verify(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

fn public() -> PublicKey {
    PublicKey::from_jwk(&with(ed25519(), &json!({"d": null})).to_string()).unwrap()
}

#[tokio::test]
async fn custom_key_goes_through_the_steps() {
    let world = World::new();
    let (sessions, two) = (world.one.sessions.clone(), world.instance());
    let old = keys(0).kid().to_owned();
    let mut browser = world.signed_in("ann").await;
    let steps: [&dyn Fn(Keyring) -> Keyring; 3] =
        [&|ring| ring.publish(Kms::new().ring()).unwrap(), &|ring| ring.promote("kms").unwrap(), &|ring| {
            ring.retire(&old).unwrap()
        }];
    for step in steps {
        for instance in [&world.one, &two] {
            instance.sessions.set_keys(step(instance.sessions.keys()));
            world.pass(TTL);
            assert!(browser.visit(instance, "/me").await.ok());
            idle().await;
        }
    }
    assert_eq!(sessions.keys().list()[0].step, KeyStep::Signing);
    assert_eq!((sessions.keys().kid(), sessions.keys().list()[0].algorithm), ("kms", Algorithm::EdDSA));
}

#[test]
fn public_key_of_a_custom_key_must_verify_what_it_signs() {
    let ring = Kms::new().ring();
    assert!(ring.clone().with_public_key(public()).is_ok());
    assert_eq!(public().kid(), ED25519_KID);
    let other = r#"{"kty": "OKP", "crv": "Ed25519", "x": "y9wbLMFQSFVHHYJGQnOJKPqUPZUQOkkkBe9jBPu5u8s"}"#;
    let wrong = PublicKey::from_jwk(other).unwrap();
    assert_eq!(ring.clone().with_public_key(wrong).unwrap_err(), KeyError::VerifierMismatch);
    assert_eq!(keys(0).with_public_key(public()).unwrap_err(), KeyError::VerifierMismatch);
}

#[tokio::test]
async fn custom_key_is_in_the_set_under_its_name_if_it_has_a_public_key() {
    use axum::{Router, body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    let world = World::new();
    let shown = async || {
        let app: Router = world.one.sessions.jwks_routes();
        let request = Request::get("/.well-known/jwks.json").body(Body::empty()).unwrap();
        let body = app.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    };
    world.one.sessions.set_keys(Kms::new().ring());
    assert_eq!(shown().await, r#"{"keys":[]}"#);
    world.one.sessions.set_keys(Kms::new().ring().with_public_key(public()).unwrap());
    assert!(shown().await.contains(r#""kid":"kms""#));
}
