//! Public keys from PEM and JWK: which are accepted, and what they verify. Test vectors of the RFCs and of OpenSSL.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tower_sliding_sessions::{KeyError, PublicKey};

use crate::vectors::{
    ED25519_PUBLIC, ED25519_V1, MESSAGE_ED25519, MESSAGE_ES256, MESSAGE_PS256, MESSAGE_RS256, P256_PUBLIC,
    P384_PUBLIC, RSA_1024_PUBLIC, RSA_PUBLIC,
};

fn pem(text: &str) -> PublicKey {
    PublicKey::from_pem(text).expect("a public key")
}

fn problem(refused: Result<PublicKey, KeyError>) -> String {
    match refused {
        Err(KeyError::PublicKey(problem)) => problem.into_owned(),
        other => panic!("{other:?}"),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn with(jwk: &str, name: &str, value: Value) -> Result<PublicKey, KeyError> {
    let mut jwk: Value = serde_json::from_str(jwk).expect("JSON");
    jwk[name] = value;
    PublicKey::from_jwk(&jwk.to_string())
}

#[test]
fn each_algorithm_verifies_what_openssl_signed_and_nothing_else() {
    let rsa = pem(RSA_PUBLIC);
    let keys = [
        (pem(ED25519_PUBLIC), Algorithm::EdDSA, MESSAGE_ED25519),
        (pem(P256_PUBLIC), Algorithm::ES256, MESSAGE_ES256),
        (rsa.clone(), Algorithm::RS256, MESSAGE_RS256),
        (rsa.for_ps256().expect("an RSA key"), Algorithm::PS256, MESSAGE_PS256),
    ];
    for (key, algorithm, signature) in &keys {
        assert_eq!(key.algorithm(), *algorithm);
        for (_, other, of_other) in &keys {
            assert_eq!(
                key.verify(b"message", &bytes(of_other)),
                algorithm == other,
                "{algorithm:?} {other:?}"
            );
        }
        assert!(!key.verify(b"massage", &bytes(signature)));
        for at in [0, 31, 63] {
            let mut changed = bytes(signature);
            changed[at] ^= 1;
            assert!(!key.verify(b"message", &changed), "{algorithm:?}");
        }
        let signature = bytes(signature);
        for wrong in
            [&[][..], &signature[1..], &[&signature[..], &[0]].concat(), &[&[0], &signature[..]].concat()]
        {
            assert!(!key.verify(b"message", wrong), "{algorithm:?}");
        }
    }
}

#[test]
fn a_key_is_the_same_after_it_was_written_as_a_jwk() {
    for (text, signature) in
        [(ED25519_PUBLIC, MESSAGE_ED25519), (P256_PUBLIC, MESSAGE_ES256), (RSA_PUBLIC, MESSAGE_RS256)]
    {
        let key = pem(text);
        let again = PublicKey::from_jwk(&key.to_jwk()).expect("a JWK");
        assert_eq!((again.kid(), again.algorithm()), (key.kid(), key.algorithm()));
        assert_eq!(again.to_jwk(), key.to_jwk());
        assert!(again.verify(b"message", &bytes(signature)));
        let odd = key.clone().with_kid(r#"a"b\c=+/"#).expect("a name");
        assert_eq!(PublicKey::from_jwk(&odd.to_jwk()).expect("a JWK").kid(), r#"a"b\c=+/"#);
        assert_eq!(odd.thumbprint(), key.kid());
        let jwk: Value = serde_json::from_str(&key.to_jwk()).expect("JSON");
        assert_eq!((&jwk["use"], jwk.get("d")), (&json!("sig"), None));
    }
    let ps256 = pem(RSA_PUBLIC).for_ps256().expect("an RSA key");
    assert_eq!(PublicKey::from_jwk(&ps256.to_jwk()).expect("a JWK").algorithm(), Algorithm::PS256);
    assert!(pem(P256_PUBLIC).for_ps256().is_err());
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    let rsa = PublicKey::from_jwk(RFC_7638).expect("a key");
    assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!((rsa.kid(), rsa.algorithm()), ("2011-04-29", Algorithm::RS256));
    let ed25519 = PublicKey::from_jwk(RFC_8037).expect("a key");
    assert_eq!(ed25519.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(ed25519.kid(), ed25519.thumbprint());
    // RFC 8037, appendix A.4.
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(ed25519.verify(message.as_bytes(), &bytes(signature)));
}

#[test]
fn private_and_symmetric_keys_and_keys_for_other_uses_are_refused() {
    for (jwk, name, value) in [
        (RFC_8037, "d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
        (RFC_7638, "p", json!("AQAB")),
        (RFC_7638, "k", json!("AQAB")),
        (RFC_8037, "kty", json!("oct")),
        (RFC_8037, "kty", json!("AKP")),
        (RFC_8037, "kty", json!(null)),
        (RFC_8037, "crv", json!("X25519")),
        (RFC_8037, "use", json!("enc")),
        (RFC_8037, "key_ops", json!(["sign"])),
        (RFC_8037, "key_ops", json!([])),
        (RFC_8037, "alg", json!("HS256")),
        (RFC_8037, "alg", json!("none")),
        (RFC_8037, "alg", json!("ES256")),
        (RFC_7638, "alg", json!("RS384")),
        (RFC_7638, "alg", json!("RSA-OAEP")),
        (RFC_7638, "alg", json!("HS256")),
        (RFC_8037, "kid", json!("")),
        (RFC_8037, "kid", json!("a b")),
        (RFC_8037, "kid", json!("k".repeat(257))),
        (RFC_8037, "kid", json!(1)),
    ] {
        problem(with(jwk, name, value));
    }
    for (name, value) in [("use", json!("sig")), ("key_ops", json!(["verify"])), ("alg", json!("Ed25519"))] {
        assert!(with(RFC_8037, name, value).is_ok(), "{name}");
    }
    let twice = RFC_8037.replace(r#""kty""#, r#""kid":"a","kid":"b","kty""#);
    problem(PublicKey::from_jwk(&twice));
    for text in ["", "[]", "null", "{}", r#"["OKP"]"#, "{\"kty\":\"OKP\"}", &" ".repeat(20_000)] {
        problem(PublicKey::from_jwk(text));
    }
}

#[test]
fn numbers_that_make_no_key_are_refused() {
    let p256 = pem(P256_PUBLIC).to_jwk();
    let zeros = json!(URL_SAFE_NO_PAD.encode([0; 32]));
    for (name, value) in [
        ("x", json!("AQAB")),
        ("y", zeros.clone()),
        ("x", json!("=")),
        ("y", json!(URL_SAFE_NO_PAD.encode([0; 33]))),
    ] {
        problem(with(&p256, name, value));
    }
    problem(with(RFC_8037, "x", json!(URL_SAFE_NO_PAD.encode([7; 31]))));
    let modulus = |bytes: usize, last: u8| {
        let mut number = vec![0xff; bytes];
        number[bytes - 1] = last;
        json!(URL_SAFE_NO_PAD.encode(number))
    };
    for (name, value) in [
        ("n", modulus(255, 0xff)),
        ("n", modulus(1025, 0xff)),
        ("n", modulus(256, 0xfe)),
        ("e", json!("AQ")),
        ("e", json!("Ag")),
        ("e", json!("")),
        ("e", modulus(5, 0xff)),
    ] {
        problem(with(RFC_7638, name, value));
    }
    assert!(problem(PublicKey::from_pem(RSA_1024_PUBLIC)).contains("2048"));
    assert!(with(RFC_7638, "e", json!("AAEAAQ")).is_ok_and(|key| key.thumbprint().starts_with("NzbLsXh8")));
}

#[test]
fn other_texts_than_a_public_key_in_pem_form_say_what_they_are() {
    let certificate = ED25519_PUBLIC.replace("PUBLIC KEY", "CERTIFICATE");
    let pkcs1 = RSA_PUBLIC.replace("PUBLIC KEY", "RSA PUBLIC KEY");
    let cut = ED25519_PUBLIC.replace("-----END PUBLIC KEY-----", "");
    for (text, says) in [
        (ED25519_V1, "private"),
        (P384_PUBLIC, "kind"),
        (&*certificate, "certificate"),
        (&pkcs1, "PKCS#1"),
        (&cut, "cut"),
        ("", "BEGIN PUBLIC KEY"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "base64"),
        (&ED25519_PUBLIC.repeat(2), "several"),
    ] {
        let problem = problem(PublicKey::from_pem(text));
        assert!(problem.contains(says), "{says}: {problem}");
    }
    let one_line = format!("\"{}\"", ED25519_PUBLIC.trim().replace('\n', "\\n"));
    assert_eq!(pem(&one_line).kid(), pem(ED25519_PUBLIC).kid());
}

#[test]
fn keys_of_a_set_that_cannot_verify_tokens_are_ignored() {
    let other = with(RFC_8037, "kid", json!("2026")).expect("a key");
    let set = format!(
        r#"{{"keys":[{{"kty":"oct","k":"AQAB"}},{RFC_7638},{{}},7,{},{{"kty":"AKP","alg":"ML-DSA-44"}},{RFC_7638}],"more":1}}"#,
        other.to_jwk()
    );
    let keys = PublicKey::from_jwk_set(set.as_bytes()).expect("a set");
    assert_eq!(keys.iter().map(PublicKey::kid).collect::<Vec<_>>(), ["2011-04-29", "2026"]);
    assert!(PublicKey::from_jwk_set(br#"{"keys":[]}"#).is_ok_and(|keys| keys.is_empty()));
    let many = format!(r#"{{"keys":[{}]}}"#, vec!["1"; 65].join(","));
    let long = format!(r#"{{"keys":[],"a":"{}"}}"#, "a".repeat(70_000));
    for bad in
        ["", "[]", "{}", "<html>", r#"{"keys":{}}"#, r#"[[]]"#, r#"{"keys":[],"keys":[]}"#, &many, &long]
    {
        assert!(matches!(PublicKey::from_jwk_set(bad.as_bytes()), Err(KeyError::PublicKey(_))), "{bad:.40}");
    }
    assert!(PublicKey::from_jwk_set(&[b'{', 0xff, b'}']).is_err());
}

/// RFC 8037, appendix A.2.
const RFC_8037: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// RFC 7638, section 3.1.
const RFC_7638: &str = concat!(
    r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"#,
    "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9",
    "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-",
    r#"kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
);
