//! `jsonwebtoken` panics where two crypto backends are turned on and nobody has chosen one for the
//! process. This crate does not ask it, and does not choose for the process either.

#![expect(clippy::expect_used, reason = "in a test, that is how things fail")]

#[path = "input/vectors.rs"]
#[expect(dead_code, reason = "not all of them are wanted here")]
mod vectors;

use axum::http::{Request, header};
use tower_sliding_sessions::{Keyring, Sessions};

async fn signs_in_and_is_recognized(keys: Keyring) {
    let sessions = Sessions::<()>::builder(keys).build().expect("sound settings");
    let stranger = sessions.visitor(&Request::new(())).expect("a visitor");
    let mut headers = axum::http::HeaderMap::new();
    stranger.sign_in("ann", ()).await.expect("signed in").apply(&mut headers);
    // The access token alone: refresh tokens are always HS256.
    let lines = headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let access = lines.filter_map(|line| line.split(';').next()).find(|pair| pair.contains("access"));
    let request = Request::builder().header(header::COOKIE, access.expect("an access cookie"));
    let request = request.body(()).expect("a request");
    let visitor = sessions.visitor(&request).expect("a visitor");
    assert!(format!("{visitor:?}").contains("SessionId"), "{visitor:?}");
}

#[tokio::test]
async fn nobody_needs_to_choose_a_backend_for_the_process_and_anybody_still_can() {
    signs_in_and_is_recognized(Keyring::ed25519_pem(vectors::ED25519_V1).expect("a key")).await;
    signs_in_and_is_recognized(Keyring::es256_pem(vectors::P256).expect("a key")).await;
    jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default().expect("nobody chose before");
    signs_in_and_is_recognized(Keyring::ed25519_pem(vectors::ED25519_V2).expect("a key")).await;
    signs_in_and_is_recognized(Keyring::es256_pem(vectors::P256).expect("a key")).await;
}
