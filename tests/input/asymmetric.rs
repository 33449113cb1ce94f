//! Ed25519 and ES256: the same sessions with either, access tokens that the `jsonwebtoken` crate
//! verifies, and invalid keys.

use axum::http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use tower_sliding_sessions::{KeyError, Keyring};

use crate::{
    forge::{Kind, encode, part},
    vectors::{
        ED448, ED25519_PUBLIC, ED25519_V1, ED25519_V2, P256, P256_PUBLIC, P256_SEC1, P384, SECP256K1, X25519,
    },
    world::{ACCESS, REFRESH, SECRET, World, send},
};

/// The access token's claims, as `jsonwebtoken` verifies them with only the public settings.
fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Value, String> {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&["sessions"]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // `jsonwebtoken` uses the system clock, and these tests a manual one.
    validation.validate_exp = false;
    let decoded =
        jsonwebtoken::decode::<Value>(token, key, &validation).map_err(|error| error.to_string())?;
    assert_eq!(decoded.header.typ.as_deref(), Some("at+jwt"));
    Ok(decoded.claims)
}

async fn a_whole_life(keys: Keyring, key: &DecodingKey, algorithm: Algorithm, rest: &DecodingKey) {
    let world = World::with_keys(keys, |builder| builder).await;
    let claims = verified(&world.legitimate.access, key, algorithm).expect("a valid token");
    assert_eq!((&claims["sub"], &claims["ext"]["name"]), (&Value::from("ann"), &Value::from("ann")));
    assert!(
        verified(&world.legitimate.refresh, key, algorithm).is_err(),
        "no other service can verify refresh tokens"
    );
    assert!(verified(&world.legitimate.access, rest, algorithm).is_err(), "another key");
    world.still_serves_legitimate_clients().await;

    // After a renewal with rotation, no changed byte of the new token is accepted.
    world.clock.advance(std::time::Duration::from_secs(301));
    let (access, refresh) = (world.legitimate.access.clone(), world.legitimate.refresh.clone());
    world.refuses("an expired token", Some(access.as_bytes()), None).await;
    let renewed = world.get_with(Some(access.as_bytes()), Some(refresh.as_bytes())).await;
    assert_eq!((renewed.status, &renewed.body), (StatusCode::OK, &world.welcome.body));
    let (access, second) = (
        renewed.cookie(ACCESS).expect("an access cookie"),
        renewed.cookie(REFRESH).expect("a refresh cookie"),
    );
    assert_ne!(second, refresh);
    assert_eq!(verified(&access, key, algorithm).expect("a valid token")["gen"], 1);
    assert_eq!(world.get_with(Some(access.as_bytes()), None).await.status, StatusCode::OK);

    for at in (0..access.len()).filter(|at| access.as_bytes()[*at] != b'.') {
        let mut bad = access.clone().into_bytes();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        if at % 7 == 0 {
            world.refuses(&format!("byte {at}"), Some(&bad), None).await;
        }
    }
    let line = format!("{ACCESS}={access}");
    let out = send(&world.app, Method::POST, "/logout", &[line.as_bytes()]).await;
    assert_eq!(out.status, StatusCode::OK);
    for (access, refresh) in [(Some(&access), None), (None, Some(&second))] {
        let answer = world.get_with(access.map(|a| a.as_bytes()), refresh.map(|r| r.as_bytes())).await;
        assert_eq!(answer, world.anonymous);
    }
}

fn ed25519_public() -> DecodingKey {
    DecodingKey::from_ed_pem(ED25519_PUBLIC.as_bytes()).expect("a public key")
}

fn p256_public() -> DecodingKey {
    DecodingKey::from_ec_pem(P256_PUBLIC.as_bytes()).expect("a public key")
}

#[tokio::test]
async fn ed25519_sessions_work_and_jsonwebtoken_verifies_their_tokens() {
    for pem in [ED25519_V1, ED25519_V2] {
        let keys = Keyring::ed25519_pem(pem).expect("a key");
        let other = DecodingKey::from_ed_der(&[7; 32]);
        a_whole_life(keys, &ed25519_public(), Algorithm::EdDSA, &other).await;
    }
}

#[tokio::test]
async fn es256_sessions_work_and_jsonwebtoken_verifies_their_tokens() {
    let keys = Keyring::es256_pem(P256).expect("a key");
    a_whole_life(keys, &p256_public(), Algorithm::ES256, &ed25519_public()).await;
}

#[tokio::test]
async fn hs256_sessions_work_and_jsonwebtoken_verifies_their_tokens() {
    let keys = Keyring::hs256(SECRET).expect("a valid secret");
    let other = DecodingKey::from_secret(b"another");
    a_whole_life(keys, &DecodingKey::from_secret(SECRET), Algorithm::HS256, &other).await;
}

#[test]
fn both_versions_of_a_key_file_are_the_same_key() {
    let name = |pem| format!("{:?}", Keyring::ed25519_pem(pem).expect("a key"));
    assert_eq!(name(ED25519_V1), name(ED25519_V2));
    let windows = ED25519_V1.replace('\n', "\r\n");
    assert_eq!(name(ED25519_V1), name(&windows));
}

#[test]
fn other_curves_and_malformed_keys_are_refused_and_not_shown() {
    let swapped = P256.replacen("MIGHAgEA", "MIGHAgEB", 1);
    let cut = format!("{}\n-----END PRIVATE KEY-----\n", &ED25519_V1[..60]);
    let no_end = ED25519_V1.replace("-----END PRIVATE KEY-----", "");
    let relabelled = P256.replace("PRIVATE KEY", "PUBLIC KEY");
    let sec1 = P256_SEC1.replace("EC PRIVATE KEY", "PRIVATE KEY");
    let long = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "A".repeat(100_000));
    let ed: [Result<_, _>; 14] = [
        P256,
        P256_SEC1,
        P384,
        SECP256K1,
        ED448,
        X25519,
        ED25519_PUBLIC,
        P256_PUBLIC,
        "",
        "garbage",
        &cut,
        &no_end,
        &relabelled,
        &long,
    ]
    .map(Keyring::ed25519_pem);
    let es: [Result<_, _>; 13] = [
        ED25519_V1,
        ED25519_V2,
        P384,
        SECP256K1,
        ED448,
        X25519,
        P256_PUBLIC,
        P256_SEC1,
        "",
        &swapped,
        &relabelled,
        &sec1,
        &long,
    ]
    .map(Keyring::es256_pem);
    for (index, (refused, wanted)) in
        ed.into_iter().map(|key| (key, "Ed25519")).chain(es.into_iter().map(|key| (key, "P-256"))).enumerate()
    {
        let error = refused.err().unwrap_or_else(|| panic!("key {index} was accepted"));
        let pem = matches!(error, KeyError::Pem { wanted: named, .. } if named == wanted);
        assert!(pem, "{index}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("MC4CAQ"));
    }
    let ring = Keyring::ed25519_pem(ED25519_V1).expect("a key");
    let es = Keyring::es256_pem(P256).expect("a key");
    let seed = &crate::debug::Secrets::new(&pem_tail(ED25519_V1));
    seed.are_not_in("a key ring", &format!("{ring:?} {es:?}"));
}

/// The seed: the last 32 bytes of version 1.
fn pem_tail(pem: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).expect("base64");
    der[der.len() - 32..].to_vec()
}

#[tokio::test]
async fn public_key_is_no_hmac_secret_and_each_key_has_one_algorithm() {
    let world = World::with_keys(Keyring::ed25519_pem(ED25519_V1).expect("a key"), |builder| builder).await;
    // Algorithm confusion: an HMAC keyed with the public key, in each of its encodings.
    let payload = world.forge.payload(Kind::Access);
    let public = pem_tail(ED25519_PUBLIC);
    for alg in ["HS256", "EdDSA", "ES256", "Ed25519", "none"] {
        let header = format!(r#"{{"alg":"{alg}","kid":"{}","typ":"at+jwt"}}"#, world.forge.kid);
        for key in [ED25519_PUBLIC.as_bytes(), ED25519_PUBLIC.trim().as_bytes(), &public] {
            let mac = {
                use hmac::{Hmac, KeyInit as _, Mac as _};
                let message = format!("{}.{}", encode(&header), encode(&payload));
                let mac =
                    Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length").chain_update(&message);
                format!("{message}.{}", encode(mac.finalize().into_bytes()))
            };
            world.refuses_token(alg, mac).await;
        }
    }
    // And a signature by a key of the other algorithm, under this key's ID.
    let es = Keyring::es256_pem(P256).expect("a key").with_kid(&world.forge.kid).expect("a name");
    let other = World::with_keys(es, |builder| builder).await;
    world.refuses_token("ES256", &other.legitimate.access).await;
    world.refuses_token("ES256's refresh token", &other.legitimate.refresh).await;
    world.still_serves_legitimate_clients().await;
}

/// The order of P-256's group.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// `(r, n - s)`: the second valid signature for the same message.
fn twin(token: &str) -> String {
    let mut signature = part(token, 2);
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = 256 + i32::from(ORDER[at]) - i32::from(signature[32 + at]) - borrow;
        signature[32 + at] = u8::try_from(difference % 256).expect("a byte");
        borrow = 1 - difference / 256;
    }
    let (message, _) = token.rsplit_once('.').expect("three parts");
    format!("{message}.{}", encode(signature))
}

#[tokio::test]
async fn second_valid_signature_is_refused_once_the_session_is_revoked() {
    let world = World::with_keys(Keyring::es256_pem(P256).expect("a key"), |builder| builder).await;
    let twin = twin(&world.legitimate.access);
    assert_ne!(twin, world.legitimate.access);
    assert!(verified(&twin, &p256_public(), Algorithm::ES256).is_ok(), "the second signature verifies");
    let answer = world.get_with(Some(twin.as_bytes()), None).await;
    assert!(answer == world.welcome || answer == world.anonymous);
    let line = format!("{ACCESS}={}", world.legitimate.access);
    let out = send(&world.app, Method::POST, "/logout", &[line.as_bytes()]).await;
    assert_eq!(out.status, StatusCode::OK);
    world.refuses("the token", Some(world.legitimate.access.as_bytes()), None).await;
    world.refuses("its second signature", Some(twin.as_bytes()), None).await;
}
