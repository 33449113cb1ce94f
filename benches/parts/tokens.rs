//! Cookies and tokens.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use divan::{Bencher, black_box};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::requests::{Profile, cookies};
use crate::{
    cookie::{Cookies, scan},
    id::{RunId, SessionId},
    time::{Clock as _, SystemClock},
    token::{AccessToken, Keyring, StepUp, TokenCodec},
};

/// THROW-AWAY. They protect nothing.
pub(crate) const SECRET: &[u8] = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
pub(crate) const ED25519: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ\n\
-----END PRIVATE KEY-----\n";
pub(crate) const SUBJECT: &str = "7f6c1f0e-3b7a-4c57-9a35-0d6f6f5d2f10";

/// The claims of a token, with exactly these types.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Typed {
    aud: String,
    sub: String,
    sid: String,
    r#gen: u64,
    run: String,
    iat: u64,
    exp: u64,
    auth_time: u64,
    ext: Profile,
}

fn hs256() -> TokenCodec {
    of(Keyring::hs256(SECRET).expect("a valid secret"))
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
fn ed25519() -> TokenCodec {
    of(Keyring::ed25519_pem(ED25519).expect("a key"))
}

fn of(ring: Keyring) -> TokenCodec {
    TokenCodec::new(ring, "sessions".into(), Duration::from_secs(3660))
}

fn claims() -> String {
    serde_json::to_string(&Profile::new()).expect("JSON")
}

fn minted(tokens: &TokenCodec, claims: &str) -> String {
    let now = SystemClock.now();
    let token = AccessToken {
        subject: &SUBJECT.into(),
        session: SessionId::from_bytes([7; 32]),
        generation: 3,
        run: RunId::from_u64(77).expect("not zero"),
        issued: now,
        expires: now + Duration::from_secs(3600),
        auth_time: now,
        methods: &[],
        step_up: &StepUp::None,
        device: None,
        claims,
    };
    tokens.mint_access(&token).expect("a token")
}

#[divan::bench]
fn find_the_two_cookies(bencher: Bencher<'_, '_>) {
    let token = minted(&hs256(), &claims());
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, cookies(&format!("__Host-access={token}; __Host-refresh={token}")));
    let names = Cookies::default();
    bencher.bench_local(|| {
        black_box(scan(black_box(&headers).get_all("cookie").iter(), &names));
    });
}

/// A prepared key, and no allocation except for the claims: the least cost of reading a token.
#[divan::bench]
fn raw_limit_of_verification_hs256(bencher: Bencher<'_, '_>) {
    let token = minted(&hs256(), &claims());
    let key = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length will do");
    bencher.bench_local(|| {
        let (message, signature) = black_box(&*token).rsplit_once('.').expect("a dot");
        let (_, payload) = message.split_once('.').expect("a dot");
        let mut given = [0; 33];
        let len = URL_SAFE_NO_PAD.decode_slice(signature, &mut given).expect("base64url");
        let given = given.get(..len).expect("a signature");
        key.clone().chain_update(message).verify_slice(given).expect("it fits");
        let mut json = [0; 3072];
        let len = URL_SAFE_NO_PAD.decode_slice(payload, &mut json).expect("base64url");
        serde_json::from_slice::<Typed>(json.get(..len).expect("claims")).expect("claims")
    });
}

fn verify(bencher: Bencher<'_, '_>, tokens: &TokenCodec) {
    let token = minted(tokens, &claims());
    bencher.bench_local(|| tokens.verify_access::<Profile>(black_box(token.as_bytes())).expect("good"));
}

#[divan::bench]
fn verify_hs256(bencher: Bencher<'_, '_>) {
    verify(bencher, &hs256());
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[divan::bench]
fn verify_ed25519(bencher: Bencher<'_, '_>) {
    verify(bencher, &ed25519());
}

#[divan::bench]
fn mint_hs256(bencher: Bencher<'_, '_>) {
    let (tokens, claims) = (hs256(), claims());
    bencher.bench_local(|| minted(&tokens, &claims));
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[divan::bench]
fn mint_ed25519(bencher: Bencher<'_, '_>) {
    let (tokens, claims) = (ed25519(), claims());
    bencher.bench_local(|| minted(&tokens, &claims));
}

mod by_jsonwebtoken {
    use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};

    use super::*;

    fn typed() -> Typed {
        let now = SystemClock.now().as_secs();
        Typed {
            aud: "sessions".to_owned(),
            sub: SUBJECT.to_owned(),
            sid: SessionId::from_bytes([7; 32]).encode(),
            r#gen: 3,
            run: "000000000000004d".to_owned(),
            iat: now,
            exp: now + 3600,
            auth_time: now,
            ext: Profile::new(),
        }
    }

    #[divan::bench]
    fn encode_hs256(bencher: Bencher<'_, '_>) {
        let (claims, key) = (typed(), EncodingKey::from_secret(SECRET));
        bencher.bench_local(|| jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a token"));
    }

    #[divan::bench]
    fn decode_hs256(bencher: Bencher<'_, '_>) {
        let key = EncodingKey::from_secret(SECRET);
        let token = jsonwebtoken::encode(&Header::default(), &typed(), &key).expect("a token");
        let (key, mut validation) = (DecodingKey::from_secret(SECRET), Validation::default());
        validation.set_audience(&["sessions"]);
        bencher.bench_local(|| jsonwebtoken::decode::<Typed>(&*token, &key, &validation).expect("good"));
    }
}
