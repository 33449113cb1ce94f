//! Key rings as JWK Sets: what is read, and what is refused.

use serde_json::{Value, json};
use tower_sliding_sessions::{KeyError, KeyStep, Keyring, jsonwebtoken::Algorithm};

use crate::samples::{ED25519_KID, ed25519, oct, p256, ring, rsa, secret, set, weak_rsa, with};

#[test]
fn keys_of_each_kind_are_read_with_their_steps() {
    let ring = ring(&[
        oct(0, "retired"),
        rsa(),
        with(p256(), &json!({"step": "signing", "use": "sig", "key_ops": ["sign"], "alg": "ES256"})),
        with(ed25519(), &json!({"d": null, "step": "published", "key_ops": ["verify"]})),
        with(oct(1, "pulled"), &json!({"k": null, "kty": null})),
        with(oct(2, "retired"), &json!({"since": 1_800_000_000})),
    ]);
    let list: Vec<_> = ring.list().into_iter().map(|key| (key.algorithm, key.step)).collect();
    assert_eq!(
        list,
        [
            (Algorithm::ES256, KeyStep::Signing),
            (Algorithm::RS256, KeyStep::Published),
            (Algorithm::EdDSA, KeyStep::Published),
            (Algorithm::HS256, KeyStep::Retired),
            (Algorithm::HS256, KeyStep::Retired),
        ]
    );
    assert_eq!(ring.list()[2].kid, ED25519_KID, "the thumbprint");
    assert_eq!(ring.list()[3].kid, "k2", "the retired key with the latest time comes first");
    assert_eq!(ring.list()[3].since.unwrap().as_secs(), 1_800_000_000);
}

#[test]
fn only_key_of_a_set_signs() {
    let ring = ring(&[with(ed25519(), &json!({"alg": "EdDSA", "kid": "alone"}))]);
    assert_eq!((ring.kid(), ring.list()[0].step), ("alone", KeyStep::Signing));
}

#[test]
fn secret_has_the_same_name_in_a_set_and_in_code() {
    let in_code = Keyring::hs256(b"bq8v2Lm5xTz1Wn7bRc4Ye9Uj3Hd6Gf0P").unwrap();
    assert_eq!(ring(&[with(oct(1, "signing"), &json!({"kid": null}))]).kid(), in_code.kid());
}

#[test]
fn private_key_has_the_same_name_as_pem_and_as_jwk() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
               -----END PRIVATE KEY-----\n";
    assert_eq!(Keyring::ed25519_pem(pem).unwrap().kid(), ED25519_KID);
    assert_eq!(ring(&[ed25519()]).kid(), ED25519_KID);
}

/// Sets with one mistake each, and a part of the message.
fn mistakes() -> Vec<(String, &'static str)> {
    let signing = |jwk: Value| with(jwk, &json!({"step": "signing"}));
    let one = |jwk: Value, members: Value| set(&[with(jwk, &members)]);
    let public_pem =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n";
    let encoded = |bytes: &[u8]| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let spki = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.decode("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap()
    };
    vec![
        // The file as a whole.
        (String::new(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        (r#"[{"keys":[]}]"#.to_owned(), "not a JSON object"),
        ("{}".to_owned(), "missing"),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), "twice"),
        (set(&[]), "no key"),
        (set(&[oct(0, "signing")])[..60].to_owned(), "too early"),
        (format!("{} x", set(&[oct(0, "signing")])), "not JSON"),
        (set(&vec![oct(0, "signing"); 65]), "more than 64"),
        (format!("{}{}", set(&[oct(0, "signing")]), " ".repeat(65_536)), "longer than"),
        // Steps.
        (set(&[oct(0, "published"), oct(1, "published")]), "no key has"),
        (set(&[oct(0, "signing"), oct(1, "signing")]), "more than one"),
        (set(&[oct(0, "pulled")]), "no key"),
        (set(&[oct(0, "promoted")]), "`step`"),
        (set(&[oct(0, "retired")]), "no key has"),
        (set(&[rsa()]), "public key"),
        (set(&[signing(with(p256(), &json!({"d": null}))), oct(1, "published")]), "public key"),
        // Names.
        (one(oct(0, "signing"), json!({"kid": "a b"})), "name"),
        (one(oct(0, "signing"), json!({"kid": "x".repeat(65)})), "name"),
        (
            set(&[oct(0, "signing"), with(oct(1, "published"), &json!({"kid": "k0"}))]),
            "key 2: it has the name",
        ),
        (set(&[oct(0, "signing"), with(oct(1, "pulled"), &json!({"kid": "k0"}))]), "key 2: it has the name"),
        // One key under two names: pulling one would leave the other.
        (set(&[oct(0, "signing"), with(oct(0, "published"), &json!({"kid": "k9"}))]), "numbers of key 1"),
        (set(&[signing(p256()), with(p256(), &json!({"d": null, "kid": "k9"}))]), "numbers of key 1"),
        (set(&[oct(0, "signing"), with(oct(0, "pulled"), &json!({"kid": "k9"}))]), "numbers of key 1"),
        // Secrets.
        (one(oct(0, "signing"), json!({"k": null})), "`k` is missing"),
        (one(oct(0, "signing"), json!({"k": format!("{}=", secret(0))})), "base64url"),
        (one(oct(0, "signing"), json!({"k": encoded(b"too short")})), "32 bytes"),
        (one(oct(0, "signing"), json!({"k": encoded(&[7; 32])})), "guessed"),
        (one(oct(0, "signing"), json!({"alg": "HS512"})), "`alg`"),
        (one(oct(0, "signing"), json!({"alg": "none"})), "`alg`"),
        (one(oct(0, "signing"), json!({"alg": "RS256"})), "`alg`"),
        (one(oct(0, "signing"), json!({"use": "enc"})), "`use`"),
        (one(oct(0, "signing"), json!({"key_ops": ["encrypt"]})), "`key_ops`"),
        (one(oct(0, "signing"), json!({"key_ops": ["sign", "sign"]})), "`key_ops`"),
        (one(oct(0, "signing"), json!({"key_ops": ["sign", "decrypt"]})), "`key_ops`"),
        (one(oct(0, "signing"), json!({"key_ops": []})), "`key_ops`"),
        // A public key as a secret: anyone could sign (RFC 8725, section 2.1).
        (one(oct(0, "signing"), json!({"k": encoded(public_pem.as_bytes())})), "key file"),
        (one(oct(0, "signing"), json!({"k": encoded(&spki)})), "key file"),
        // Private keys.
        (one(ed25519(), json!({"d": p256()["d"]})), "belong together"),
        (one(p256(), json!({"d": ed25519()["d"]})), "belong together"),
        (one(p256(), json!({"y": p256()["x"]})), "belong together"),
        (one(p256(), json!({"y": null})), "missing"),
        (one(ed25519(), json!({"d": encoded(b"short")})), "32 bytes"),
        (one(ed25519(), json!({"alg": "ES256"})), "`alg`"),
        (one(p256(), json!({"alg": "EdDSA"})), "`alg`"),
        (one(p256(), json!({"crv": "P-384"})), "not supported"),
        (one(ed25519(), json!({"crv": "X25519"})), "not supported"),
        (one(ed25519(), json!({"use": "enc"})), "`use`"),
        (one(ed25519(), json!({"key_ops": ["deriveKey"]})), "`key_ops`"),
        (one(ed25519(), json!({"kty": null})), "`kty`"),
        (one(rsa(), json!({"d": "AQAB"})), "RSA keys are for verification only"),
        // Public keys.
        (set(&[oct(0, "signing"), weak_rsa()]), "2048"),
        (set(&[oct(0, "signing"), with(rsa(), &json!({"alg": "HS256"}))]), "`alg`"),
        (set(&[oct(0, "signing"), with(rsa(), &json!({"use": "enc"}))]), "`use`"),
        (set(&[oct(0, "signing"), with(rsa(), &json!({"key_ops": ["sign"]}))]), "`key_ops`"),
        (set(&[oct(0, "signing"), with(rsa(), &json!({"p": "AQAB"}))]), "private"),
        (set(&[oct(0, "signing"), with(rsa(), &json!({"kid": "a b"}))]), "key 2"),
        // Types.
        (one(oct(0, "signing"), json!({"since": "2027"})), "another type"),
        (one(oct(0, "signing"), json!({"since": -1})), "another type"),
        (set(&[json!("k0")]), "not a JSON object"),
        (set(&[oct(0, "signing")]).replace(r#""kid""#, r#""kid":"a","kid""#), "twice"),
    ]
}

#[test]
fn each_mistake_is_named_and_no_value_is_shown() {
    for (text, message) in mistakes() {
        let error = Keyring::from_jwks(&text).expect_err(&text);
        assert!(matches!(error, KeyError::KeySet(_)), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(message), "{text}\n{message}\n{shown}");
        for hidden in [&secret(0), "nWGxne", "jpsQnn"] {
            assert!(!shown.contains(&hidden[..6]), "{shown}");
        }
    }
}

#[test]
fn ring_shows_names_and_steps_only() {
    let shown = format!("{:?}", ring(&[oct(0, "signing"), oct(1, "published")]));
    assert_eq!(shown, r#"{"k0": Signing, "k1": Published}"#);
}
