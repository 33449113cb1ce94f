//! Keys of devices, and what they sign.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use serde_json::{Value, json};

/// A key that never leaves its device.
#[derive(Clone)]
pub(crate) struct DeviceKey(Option<SigningKey>);

/// A key of 2048 bits, for RS256.
const RSA: &str = include_str!("rsa_key.pem");
const RSA_MODULUS: &str = "sMBY4o-9EfI18sXjy1NPvp2Ij01J9hshgKoO7Op3uV00I4DWXM084dRfM3jUOf0ERK-GmlKzl-WW99KLFvfKJI3DSFCm7QsGEbTfASO6WLp59dfcj-kdvySwS6rqPgPkCMpNaZvSmgWEYE3ETcVZlha-PsSil3aIXuoa_CHblU9e1Cwhu-WIaS8r6GKma9uqb0a8EkakQXIKFuJMzNSFCE7tLsC1c-qHpoHbTVH9IWMv1tKbVt_iqA7tQRJeN2Uh2idHjOaRsFpe0a9wrsm6NhO7hFiDmHe6ujLeRC4YcqoCClrsRJrJ31W8sYe80cZ1rolC9Dkydq4reNrd0QHypQ";

impl DeviceKey {
    /// The `nth` key.
    pub(crate) fn new(nth: u8) -> Self {
        let mut scalar = [7; 32];
        scalar[31] = nth;
        Self(Some(SigningKey::from_slice(&scalar).expect("a scalar")))
    }

    /// One for RS256.
    pub(crate) const fn rsa() -> Self {
        Self(None)
    }

    fn algorithm(&self) -> &'static str {
        if self.0.is_some() { "ES256" } else { "RS256" }
    }

    /// The public key.
    pub(crate) fn jwk(&self) -> Value {
        let Some(key) = &self.0 else { return json!({"kty": "RSA", "n": RSA_MODULUS, "e": "AQAB"}) };
        let point = key.verifying_key().to_encoded_point(false);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "x": text(&point.as_bytes()[1..33]), "y": text(&point.as_bytes()[33..])})
    }

    /// A JWT with this header and payload.
    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        let signature = match &self.0 {
            Some(key) => {
                let signature: Signature = key.sign(message.as_bytes());
                URL_SAFE_NO_PAD.encode(signature.to_bytes())
            }
            None => {
                let key = EncodingKey::from_rsa_pem(RSA.as_bytes()).expect("a key");
                jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::RS256).expect("a signature")
            }
        };
        format!("{message}.{signature}")
    }

    /// The proof at a registration.
    pub(crate) fn register(&self, challenge: &str) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "dbsc+jwt", "jwk": self.jwk()});
        self.sign(&header, &json!({"jti": challenge}))
    }

    /// The proof at a refresh.
    pub(crate) fn prove(&self, challenge: &str) -> String {
        self.sign(&json!({"alg": self.algorithm(), "typ": "dbsc+jwt"}), &json!({"jti": challenge}))
    }
}
