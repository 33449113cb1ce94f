//! Mints and verifies access tokens and refresh tokens.
//!
//! Only this module makes the content of a verified token. The protocol judges the times of the token. For this module,
//! an expired token is not an error: it is a valid token in another state.

mod access;
mod access_key;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod asymmetric;
#[cfg(feature = "aws_lc_rs")]
mod aws_lc_rs;
mod cnf;
mod codec;
#[cfg(feature = "device-bound")]
mod device;
mod error;
mod hmac;
mod json;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod jwe;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod jwk;
mod jws;
mod key;
mod key_set;
mod keyring;
mod name;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod pem;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod public_key;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod public_parts;
mod refresh;
#[cfg(all(feature = "rust_crypto", not(feature = "aws_lc_rs")))]
mod rust_crypto;
#[cfg(any(feature = "oidc", feature = "vault"))]
mod seal;
mod secret;
mod service;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod spki;
mod step_up;
mod steps;
#[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
mod verify_only;

#[cfg(feature = "verify")]
pub(crate) use self::access::ServiceDetails;
#[cfg(feature = "device-bound")]
pub(crate) use self::device::{DeviceProof, Purpose};
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
pub use self::public_key::PublicKey;
#[cfg(any(feature = "oidc", feature = "vault"))]
pub(crate) use self::seal::{open, seal};
pub(crate) use self::{
    access::{AccessClaims, AccessToken},
    cnf::DeviceKey,
    codec::TokenCodec,
    json::{write_claims, write_short_claims},
    jws::LONGEST_TOKEN,
    key_set::LONGEST_KEY_SET,
    refresh::RefreshClaims,
    service::{ServiceToken, write_service_claims},
    step_up::StepUp,
    steps::{KeyChange, Promotion},
};
pub use self::{
    error::{InvalidToken, KeyError, MintError},
    key::KeyStep,
    keyring::Keyring,
    service::ServiceTokenError,
    steps::KeyInfo,
};
