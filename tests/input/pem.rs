//! The PEM text of a private key: harmless text around it is accepted, and each mistake has its own
//! error.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower_sliding_sessions::{KeyError, Keyring};

use crate::vectors::{
    ED448, ED25519_PUBLIC, ED25519_V1, P256, P256_PUBLIC, P256_SEC1, P384, SECP256K1, X25519,
};

/// P-256 with explicit parameters: `openssl ecparam -name prime256v1 -param_enc explicit -genkey`.
/// A throw-away key.
const EXPLICIT: &str = "\
-----BEGIN PRIVATE KEY-----
MIIBeQIBADCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAAB
AAAAAAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA
///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMV
AMSdNgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg
9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8A
AAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBBG0wawIBAQQgM1G19lQY+Mas
TwelP6WGPl+dv7xiwdiabh4p7OYWJ5+hRANCAATq8p5l6kagHFe3C2gfH1gRDc6B
IcUU1VaEwAUS5w4djzfOFJ3v6w+1Z/ixHyFr/2tYuPkPaXYp0zNwVuXPkmfE
-----END PRIVATE KEY-----
";

fn problem(key: Result<Keyring, KeyError>) -> String {
    match key {
        Err(KeyError::Pem { problem, .. }) => problem.into_owned(),
        other => panic!("{other:?}"),
    }
}

fn es256(text: impl AsRef<str>) -> String {
    problem(Keyring::es256_pem(text.as_ref()))
}

fn block(label: &str) -> String {
    format!("-----BEGIN {label}-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END {label}-----\n")
}

#[test]
fn whitespace_around_and_inside_a_key_is_accepted() {
    type Read = fn(&str) -> Result<Keyring, KeyError>;
    let ed25519: Read = Keyring::ed25519_pem;
    let es256: Read = Keyring::es256_pem;
    for (pem, read) in [(ED25519_V1, ed25519), (P256, es256)] {
        let name = |text: &str| match read(text) {
            Ok(ring) => format!("{ring:?}"),
            Err(error) => panic!("{error}: {text:?}"),
        };
        let expected = name(pem);
        let trimmed = pem.trim();
        for text in [
            trimmed.to_owned(),
            format!("\u{feff}{pem}"),
            format!("\n\n  \t\n{pem}\n\n\n"),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "\r"),
            pem.lines().map(|line| format!("    {line}  \n")).collect(),
            trimmed.replace('\n', "\\n"),
            trimmed.replace('\n', "\\r\\n"),
            format!("\"{}\\n\"", trimmed.replace('\n', "\\n")),
            format!("'{pem}'"),
            trimmed.replace('\n', " "),
            trimmed.replace('\n', "\\\\n"),
            trimmed.replace('\n', "\\t\\n"),
            trimmed.replace('\n', "\\\n"),
            format!("{}\u{200b}", trimmed.replace('\n', "\u{a0}\n\u{feff}")),
            format!("  comment\nBag Attributes: <none>\n{pem}# end"),
        ] {
            assert_eq!(name(&text), expected, "{text:?}");
        }
    }
}

#[test]
fn each_mistake_with_a_key_has_its_own_error_with_the_remedy() {
    let cut = &P256[..120];
    let first_line = P256.lines().next().expect("a line");
    let body = P256.lines().nth(1).expect("a line");
    let encrypted_sec1 = P256_SEC1
        .replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,A196A1\n\nM");
    let with_parameters =
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{P256_SEC1}");
    let mut messages = HashSet::new();
    for (text, expected, hint) in [
        ("", "it is empty:", "empty"),
        (" \n", "it is empty:", "variable"),
        ("/etc/keys/session.pem", "it is the path of a file:", "read the file"),
        ("session-key.pem", "it is the path of a file:", "read the file"),
        (r#"{"kty":"EC","crv":"P-256"}"#, "it is a JSON Web Key:", "JSON Web Key"),
        (&STANDARD.encode(P256), "it is the base64 of a PEM:", "base64 -d"),
        (&STANDARD.encode(format!("\n{P256}")), "it is the base64 of a PEM:", "base64 -d"),
        ("garbage", "it has no line", "BEGIN PRIVATE KEY"),
        (body, "it has no line", "BEGIN PRIVATE KEY"),
        (cut, "its line `-----END", "was cut"),
        (first_line, "its line `-----END", "was cut"),
        (&P256.replacen("MIGH", "MI~H", 1), "the text between", "base64"),
        (&P256.replacen("MIGH", "MIGI", 1), "its base64 does not decode", "PKCS#8"),
        (&format!("{P256}{P384}"), "it holds 2 keys or certificates:", "2 keys"),
        (&format!("{P256}{}", block("CERTIFICATE")), "it holds 2 keys or certificates:", "leave the one"),
        (P256_SEC1, "it is in SEC1 form", "openssl pkcs8 -topk8 -nocrypt"),
        (&with_parameters, "it is in SEC1 form", "openssl pkcs8 -topk8 -nocrypt"),
        (&block("ENCRYPTED PRIVATE KEY"), "it is encrypted:", "openssl pkcs8 -topk8 -nocrypt"),
        (&encrypted_sec1, "it is encrypted:", "decrypt"),
        (P256_PUBLIC, "it is a public key,", "public key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ann@example", "it is a public key,", "public key"),
        (&block("CERTIFICATE"), "it is a certificate,", "certificate"),
        (&block("DH PARAMETERS"), "it is a PEM of another kind", "another kind"),
    ] {
        let error = Keyring::es256_pem(text).expect_err("no key");
        let KeyError::Pem { wanted: "P-256", problem } = &error else { panic!("{error:?}: {text:?}") };
        assert!(problem.starts_with(expected), "{problem}: {text:?}");
        let message = error.to_string();
        assert!(message.starts_with("not a P-256 private key in PKCS#8 PEM form: "), "{message}");
        assert!(message.contains(hint), "{message}");
        assert!(!message.contains(&body[..16]), "{message}");
        messages.insert(message);
    }
    assert_eq!(messages.len(), 14);
    let openssh = es256(block("OPENSSH PRIVATE KEY"));
    assert!(openssh.starts_with("it is an OpenSSH key:") && openssh.contains("P-256"), "{openssh}");
}

#[test]
fn key_for_another_algorithm_is_named_with_the_function_that_accepts_it() {
    let rsa = block("RSA PRIVATE KEY");
    for (text, name, hint) in [
        (ED25519_V1, "Ed25519", "Keyring::ed25519_pem"),
        (P384, "P-384", "ec_paramgen_curve:P-256"),
        (SECP256K1, "secp256k1", "ec_paramgen_curve:P-256"),
        (ED448, "Ed448", "ec_paramgen_curve:P-256"),
        (X25519, "X25519 (which exchanges keys and does not sign)", "ec_paramgen_curve:P-256"),
        (EXPLICIT, "an elliptic curve given by its parameters rather than its name", "genpkey"),
        (&rsa, "RSA", "genpkey"),
    ] {
        let problem = es256(text);
        let advice =
            problem.strip_prefix(&format!("it is a key for {name}: ")).unwrap_or_else(|| panic!("{problem}"));
        assert!(advice.contains(hint), "{advice}");
    }
    let other = problem(Keyring::ed25519_pem(P256));
    assert_eq!(other, "it is a key for P-256: pass it to `Keyring::es256_pem`");
    assert!(problem(Keyring::ed25519_pem(ED25519_PUBLIC)).starts_with("it is a public key,"));
}
