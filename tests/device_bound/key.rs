//! Keys of devices, and what they sign.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use serde_json::{Value, json};

/// A key that never leaves its device.
#[derive(Clone)]
pub(crate) struct DeviceKey(SigningKey);

impl DeviceKey {
    /// The `nth` key.
    pub(crate) fn new(nth: u8) -> Self {
        let mut scalar = [7; 32];
        scalar[31] = nth;
        Self(SigningKey::from_slice(&scalar).expect("a scalar"))
    }

    /// The public key.
    pub(crate) fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_encoded_point(false);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "x": text(&point.as_bytes()[1..33]), "y": text(&point.as_bytes()[33..])})
    }

    /// A JWT with this header and payload.
    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        let signature: Signature = self.0.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The proof at a registration.
    pub(crate) fn register(&self, challenge: &str) -> String {
        let header = json!({"alg": "ES256", "typ": "dbsc+jwt", "jwk": self.jwk()});
        self.sign(&header, &json!({"jti": challenge}))
    }

    /// The proof at a refresh.
    pub(crate) fn prove(&self, challenge: &str) -> String {
        self.sign(&json!({"alg": "ES256", "typ": "dbsc+jwt"}), &json!({"jti": challenge}))
    }
}
