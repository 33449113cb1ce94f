//! Secrets that are refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower_sliding_sessions::{KeyError, Keyring};

use crate::world::{SECRET, World};

fn refusal(secret: impl AsRef<[u8]>) -> KeyError {
    Keyring::hs256(secret).expect_err("no secret")
}

#[test]
fn secret_below_32_bytes_is_refused() {
    for len in 0..32 {
        assert_eq!(refusal(&SECRET[..len]), KeyError::TooShort(len));
    }
    assert!(Keyring::hs256(SECRET).is_ok());
    assert!(Keyring::hs256([&SECRET[..], b"and more of it, up to any length there is"].concat()).is_ok());
}

#[test]
fn patterns_and_well_known_examples_are_refused() {
    let ascending: Vec<u8> = (7..71).collect();
    for weak in [
        &[0; 32][..],
        &[0xff; 64],
        &b"a".repeat(40),
        &b"secret".repeat(6),
        &b"password".repeat(4),
        &b"correcthorsebat!".repeat(2),
        b"0123456701234567012345670123456701234567",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        &ascending,
        b"a-string-secret-at-least-256-bits-long",
        b"your-super-secret-jwt-token-with-at-least-32-characters-long",
        b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    ] {
        assert_eq!(refusal(weak), KeyError::Weak, "{}", String::from_utf8_lossy(weak));
    }
}

#[test]
fn secrets_from_tutorials_are_refused_repeated_and_padded() {
    for weak in [
        "your-256-bit-secret-your-256-bit-secre",
        "your_super_secret_key_please_change_me!",
        "CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME",
        "supersecretpassword1234567890!!!!!!!!!!!",
        "my-secret-key-1/my-secret-key-2/my-secret-key-3",
        "this is a very long secret key for testing jwt",
        "secret0000000000000000000000000000000001",
        "correct horse battery staple / correct horse battery",
        "Xq7mP2vL9sKd4Rz1-and-then-Xq7mP2vL9sKd4Rz1",
    ] {
        assert_eq!(refusal(weak), KeyError::Weak, "{weak}");
    }
    for good in [
        "f3b1c2d4e5a697887766554433221100ffeeddccbbaa99887766554433221100",
        "0f8fad5b-d9cd-469f-a165-70867728950e-7c9e6679",
        "walnut-orbit-secret-tundra-violin-comet-harbor",
    ] {
        assert!(Keyring::hs256(good).is_ok(), "{good}");
    }
}

#[test]
fn line_break_after_a_secret_is_refused_and_named_unless_the_secret_is_random_bytes() {
    for end in ["\n", "\r\n", "\n\n", "\r", "\\n"] {
        let error = refusal([&SECRET[..], end.as_bytes()].concat());
        assert_eq!(error, KeyError::LineBreak);
        assert!(error.to_string().contains("line break"));
    }
    let mut random = [0x9d_u8; 33];
    random[..32].copy_from_slice(&SECRET.map(|byte| byte ^ 0x80));
    random[32] = b'\n';
    assert!(Keyring::hs256(random).is_ok(), "a random secret may end in any byte");
}

#[test]
fn white_space_byte_order_marks_and_quotes_around_a_secret_are_refused_and_named() {
    let secret = std::str::from_utf8(SECRET).expect("text");
    for text in [
        format!(" {secret}"),
        format!("{secret} "),
        format!("{secret}\t"),
        format!("\n{secret}"),
        format!("\u{feff}{secret}"),
        format!("{secret}\u{a0}"),
        format!("\"{secret}\""),
        format!("'{secret}'"),
    ] {
        let error = refusal(&text);
        assert_eq!(error, KeyError::Surrounded, "{text:?}");
        assert!(error.to_string().contains("remove them"));
    }
    for good in
        [format!("\"{secret}"), format!("{secret}'"), secret.replace('V', " V "), format!("\"{secret}'")]
    {
        assert!(Keyring::hs256(&good).is_ok(), "{good}");
    }
    let random: Vec<u8> = SECRET.iter().map(|byte| byte ^ 0x80).chain(*b" ").collect();
    assert!(Keyring::hs256(random).is_ok(), "a random secret may end in any byte");
}

#[test]
fn key_file_is_no_secret() {
    // A throw-away value in the size of an RSA key: the check is for the DER sequence header and its
    // length.
    let der = |len: usize| -> Vec<u8> {
        let body: Vec<u8> = SECRET.iter().copied().cycle().take(len).collect();
        let len = u16::try_from(len).expect("short");
        match len {
            ..0x80 => [&[0x30, u8::try_from(len).expect("a byte")], &body[..]].concat(),
            0x80..0x100 => [&[0x30, 0x81, u8::try_from(len).expect("a byte")], &body[..]].concat(),
            _ => [&[0x30, 0x82], &len.to_be_bytes()[..], &body].concat(),
        }
    };
    for len in [46, 81, 127, 138, 255, 256, 294, 1190] {
        assert_eq!(refusal(der(len)), KeyError::LooksLikeKeyFile, "{len}");
    }
    let body = STANDARD.encode(der(294));
    for label in ["PUBLIC KEY", "PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE", "OPENSSH PRIVATE KEY"] {
        for start in ["", "\n", " \r\n\t"] {
            let pem = format!("{start}-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            assert_eq!(refusal(pem), KeyError::LooksLikeKeyFile, "{label}");
        }
    }
    for other in [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC9x7Qm2 ann@example",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7Xq2LmV9sKd4RzB1w",
        r#"{"kty":"oct","k":"dTdYcTJMbVY5c0tkNFJ6QjF3WXBUZjZOaEpjOEdhRW8"}"#,
    ] {
        assert_eq!(refusal(other), KeyError::LooksLikeKeyFile, "{other}");
    }
}

#[test]
fn error_about_a_secret_does_not_show_it() {
    for bad in [&b"hunter2-but-too-short"[..], &b"hunter2!".repeat(4), b"-----BEGIN hunter2 hunter2 hunter2"]
    {
        let error = refusal(bad);
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn key_ids_must_be_plain_and_unique() {
    let ring = || Keyring::hs256(SECRET).expect("a valid secret");
    for bad in ["", "a b", "a\"b", "a.b", "é", "a/b", "a\0", &"x".repeat(65)] {
        assert_eq!(ring().with_kid(bad).expect_err("no name"), KeyError::BadName(bad.to_owned()));
    }
    for good in ["a", "2026-11", "_", &"x".repeat(64)] {
        assert!(ring().with_kid(good).is_ok());
    }
    assert!(matches!(ring().publish(ring()), Err(KeyError::DuplicateName(_))));
    let other = Keyring::hs256(b"another-secret-of-32-bytes-7Xq2L").expect("a valid secret");
    let other = other.with_kid("k").expect("a name");
    assert!(ring().with_kid("k").expect("a name").publish(other).is_err());
}

#[tokio::test]
async fn removed_key_verifies_nothing_and_a_kept_one_still_does() {
    let keys = Keyring::hs256(SECRET).expect("a valid secret");
    let world = World::with_keys(keys, |builder| builder).await;
    let new = || Keyring::hs256(b"another-secret-of-32-bytes-7Xq2L").expect("a valid secret");
    let old = || Keyring::hs256(SECRET).expect("a valid secret");
    world.sessions.set_keys(new().publish(old()).expect("two names"));
    world.still_serves_legitimate_clients().await;
    world.sessions.set_keys(new());
    let (access, refresh) = (world.legitimate.access.as_bytes(), world.legitimate.refresh.as_bytes());
    world.refuses("a removed key", Some(access), Some(refresh)).await;
    // Not under the new key's ID either.
    let named = new().with_kid(&world.forge.kid).expect("a name");
    world.sessions.set_keys(named);
    world.refuses("another key with the same ID", Some(access), Some(refresh)).await;
    world.sessions.set_keys(old());
    world.still_serves_legitimate_clients().await;
}
