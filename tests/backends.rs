//! Keys work without a process-wide crypto provider, and with one that always fails.
//!
//! `jsonwebtoken` panics if two crypto backends are enabled and the application chose neither. This crate
//! does not use the process-wide provider, and does not choose one for the application.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

#[path = "input/vectors.rs"]
#[expect(dead_code, reason = "not all of them are wanted here")]
mod vectors;

use axum::http::{Request, header};
use jsonwebtoken::crypto::{CryptoProvider, KeyUtils};
use tower_sliding_sessions::{Keyring, Sessions};

static USELESS: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| panic!("the process-wide provider was asked for a signer"),
    verifier_factory: |_, _| panic!("the process-wide provider was asked for a verifier"),
    key_utils: KeyUtils::new_unimplemented(),
};

async fn signs_in_and_is_recognized(keys: Keyring) {
    let sessions = Sessions::<()>::builder(keys).build().expect("valid settings");
    let anonymous = sessions.visitor(&Request::new(())).expect("a visitor");
    let mut headers = axum::http::HeaderMap::new();
    anonymous.sign_in("ann", ()).await.expect("signed in").apply(&mut headers);
    // The access token only: refresh tokens are always HS256.
    let lines = headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let access = lines.filter_map(|line| line.split(';').next()).find(|pair| pair.contains("access"));
    let request = Request::builder().header(header::COOKIE, access.expect("an access cookie"));
    let request = request.body(()).expect("a request");
    let visitor = sessions.visitor(&request).expect("a visitor");
    assert!(format!("{visitor:?}").contains("SessionId"), "{visitor:?}");
}

async fn all_keys_work() {
    signs_in_and_is_recognized(Keyring::random().expect("a key")).await;
    signs_in_and_is_recognized(Keyring::ed25519_pem(vectors::ED25519_V1).expect("a key")).await;
    signs_in_and_is_recognized(Keyring::ed25519_pem(vectors::ED25519_V2).expect("a key")).await;
    signs_in_and_is_recognized(Keyring::es256_pem(vectors::P256).expect("a key")).await;
}

#[tokio::test]
async fn keys_neither_use_nor_choose_the_process_wide_crypto_provider() {
    all_keys_work().await;
    USELESS.install_default().expect("the application chooses first");
    all_keys_work().await;
}
