//! Keys as JWKs.

use serde_json::{Value, json};
use tower_sliding_sessions::Keyring;

/// An HS256 secret, base64url.
pub(crate) fn secret(nth: u8) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut secret = *b"Zq8v2Lm5xTz1Wn7bRc4Ye9Uj3Hd6Gf0P";
    secret[0] = b'a' + nth;
    URL_SAFE_NO_PAD.encode(secret)
}

pub(crate) fn oct(nth: u8, step: &str) -> Value {
    json!({"kty": "oct", "kid": format!("k{nth}"), "k": secret(nth), "step": step})
}

/// The example of RFC 8037, appendix A.
pub(crate) const ED25519_KID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

pub(crate) fn ed25519() -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    })
}

/// The example of RFC 7515, appendix A.3.
pub(crate) fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    })
}

/// The public half of a key of 2048 bits.
pub(crate) fn rsa() -> Value {
    json!({"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": "wt3kVninztfby818UL56JsCT8IdcFEQzxvZQJWsakfYjWeouzek-8hkOfcso25CTzSBVE4REVeFg__8V3nazE7HpbD0s7LALraayLc0Lfx5tOs5h03FZHoZ0ZSgEpFaCBO7LYAxuxlxBSGT3dFLe9uxDix9-kyqJc-33Thh0e5AAuEi24Qk99He9HlvFzM_GFk4KtJ_2HObdyCBrkm0HPhecl5fZOpZKXHGeHwZAjUFVABPqlXMPSBprBdnR79DaAD3ekJSFVcvoqsjqj5UlKcX7h0UnGsca0TF1IvFnqe063BPaa1Re9iuuTP88ueFIlBkJMiKkDiPTqXw7ZOTlOw"})
}

/// A key of 1024 bits.
pub(crate) fn weak_rsa() -> Value {
    json!({"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": "uGBRKfkzw93FTjpmSNYlVMxtQ-Gj0RGya5ymqjnX8XMnmlaM_gQriw9bz8LN0Xr5amTzwD67eRWmaHL4bjjrtbEVQA9VRlGQU_3iM4DVVtk_yULo8k1sLmSZxqn0jwwXR2iFs_oXwNrNO7n_tYJI-RoNM4jhnJRGZMLag76ZWhc"})
}

/// A JWK with other members. A member that is `null` is removed.
pub(crate) fn with(mut jwk: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    jwk
}

pub(crate) fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

pub(crate) fn ring(keys: &[Value]) -> Keyring {
    Keyring::from_jwks(&set(keys)).unwrap()
}
