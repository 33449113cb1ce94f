//! The encoding of a token: three parts of canonical base64url. Every changed bit is refused.

use axum::http::HeaderValue;

use crate::{
    forge::{BOTH, Kind, encode},
    world::World,
};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The same bytes with another last character, whose unused bits are not zero.
fn with_stray_bits(part: &str) -> Option<String> {
    let (last, rest) = part.as_bytes().split_last()?;
    let index = ALPHABET.iter().position(|b| b == last)?;
    let other = match part.len() % 4 {
        2 => index | 0b1000,
        3 => index | 0b01,
        _ => return None,
    };
    let rest = std::str::from_utf8(rest).expect("ASCII");
    (other != index).then(|| format!("{rest}{}", char::from(ALPHABET[other])))
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

#[tokio::test]
async fn padding_stray_bits_and_the_standard_alphabet_are_refused_even_if_signed() {
    let world = World::new().await;
    for kind in BOTH {
        let mut stray = 0;
        // The spaces produce every length modulo three.
        for spaces in 0..3 {
            let header = format!("{}{}", world.forge.header(kind), " ".repeat(spaces));
            let payload = format!("{}{}", world.forge.payload(kind), " ".repeat(spaces));
            let (header, payload) = (encode(header), encode(payload));
            let mut messages = vec![
                format!("{header}=.{payload}"),
                format!("{header}==.{payload}"),
                format!("{header}.{payload}="),
                format!("{header}.{payload}=="),
                format!("{header}.{payload}A"),
                format!("{header}A.{payload}"),
                format!("{header}.{payload}\n"),
                format!("{header}. {payload}"),
                format!("{header}\r.{payload}"),
            ];
            messages.extend(with_stray_bits(&header).map(|header| format!("{header}.{payload}")));
            messages.extend(with_stray_bits(&payload).map(|payload| format!("{header}.{payload}")));
            stray += messages.len() - 9;
            for message in messages {
                let token = world.forge.sign_raw(kind, &message);
                if HeaderValue::from_str(&token).is_ok() {
                    world.refuses_token(&message, &token).await;
                }
            }
            let good = world.forge.sign_raw(kind, &format!("{header}.{payload}"));
            let [header, payload, signature] = parts(&good);
            let strayed = with_stray_bits(signature).expect("32 bytes leave unused bits");
            world.refuses_token("stray bits", format!("{header}.{payload}.{strayed}")).await;
            world.refuses_token("padding", format!("{good}=")).await;
        }
        assert_eq!(stray, 4, "two of three lengths leave unused bits");
        // A payload whose encoding has both characters in which the alphabets differ.
        let extra = r#"{"name":"ann","roles":[],"extra":"~~~???\u00ff>>>~~?>>?"}"#;
        let payload = match kind {
            Kind::Access => world.forge.payload_with(kind, "ext", extra),
            Kind::Refresh => world.forge.payload_with(kind, "sub", "\"~~~???>>>~~?>>?\""),
        };
        let message = format!("{}.{}", encode(world.forge.header(kind)), encode(payload));
        let other = message.replace('-', "+").replace('_', "/");
        assert_ne!(message, other);
        world.refuses_token("the other alphabet", world.forge.sign_raw(kind, &other)).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn token_must_have_three_nonempty_parts() {
    let world = World::new().await;
    for kind in BOTH {
        let token = kind.of(&world.legitimate).to_owned();
        let [header, payload, signature] = parts(&token);
        for bad in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            ".".repeat(4096),
            header.to_owned(),
            format!("{header}.{payload}"),
            format!("{header}{payload}{signature}"),
            format!("{header}.{payload}."),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("..{signature}"),
            format!(".{token}"),
            format!("{token}."),
            format!("{token}.{signature}"),
            format!("{header}.{payload}..{signature}"),
            format!("{header}.{payload}.{payload}.{signature}.{signature}"),
            format!("{payload}.{header}.{signature}"),
            format!("{token}{token}"),
            format!("Bearer {token}"),
            format!("\"{token}\""),
            token.replace('.', "%2e"),
            token.replace('.', ","),
            token.to_lowercase(),
        ] {
            world.refuses_token(&bad[..bad.len().min(300)], &bad).await;
        }
        // Signed, but not three parts.
        for message in
            [header.to_owned(), format!("{header}.{payload}.{payload}"), format!(".{header}.{payload}")]
        {
            world.refuses_token(&message, world.forge.sign_raw(kind, &message)).await;
        }
        for kind in BOTH {
            world.refuses_token("an empty payload", world.forge.sign_raw(kind, &format!("{header}."))).await;
            world.refuses_token("an empty header", world.forge.sign_raw(kind, &format!(".{payload}"))).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn bytes_beyond_ascii_are_refused_at_every_position() {
    let world = World::new().await;
    for kind in BOTH {
        let token = kind.of(&world.legitimate).as_bytes();
        for odd in
            [&b"\xff"[..], b"\x80", b"\xef\xbb\xbf", b"\xc3\xa9", b"\xe2\x80\x8b", b"\xef\xbc\x8e", b"\xa0"]
        {
            for at in [0, 1, token.len() / 2, token.len() - 1, token.len()] {
                let bad = [&token[..at], odd, &token[at..]].concat();
                world.refuses_token(&format!("{odd:x?} at {at}"), &bad).await;
            }
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn token_above_4096_bytes_is_refused_even_if_signed() {
    let world = World::new().await;
    let sized = |kind: Kind, payload_bytes: usize| {
        let payload = world.forge.payload(kind);
        let padded = format!("{payload}{}", " ".repeat(payload_bytes - payload.len()));
        world.forge.token(kind, world.forge.header(kind), padded)
    };
    for kind in BOTH {
        let longest = (300..4000).rev().map(|len| sized(kind, len)).find(|token| token.len() <= 4096);
        let longest = longest.expect("one that fits");
        assert!(longest.len() > 4090, "{}", longest.len());
        let (access, refresh) = kind.alone(longest.as_bytes());
        assert_eq!(world.get_with(access, refresh).await.body, world.welcome.body);
        let payload_bytes = crate::forge::part(&longest, 1).len();
        for longer in [1, 2, 3, 100, 10_000, 48_000] {
            let token = sized(kind, payload_bytes + longer);
            assert!(token.len() > 4096);
            world.refuses_token(&format!("{} bytes", token.len()), token).await;
        }
    }
    for filler in ["A", ".", "A.", "=", "[", "\u{ff}"] {
        for size in [4096, 4097, 65_000, 1 << 20] {
            let token = filler.repeat(size / filler.len());
            world.refuses_token(&format!("{size} bytes of {filler}"), token).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn token_with_any_changed_bit_is_refused() {
    let world = World::new().await;
    for kind in BOTH {
        let token = kind.of(&world.legitimate).as_bytes();
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut bad = token.to_vec();
                bad[at] ^= 1 << bit;
                // Control characters, which `http` refuses, and bytes that end a cookie value.
                if HeaderValue::from_bytes(&bad).is_err() || matches!(bad[at], b';' | b' ' | b'\t') {
                    continue;
                }
                let (access, refresh) = kind.alone(&bad);
                world.refuses(&format!("{kind:?}, byte {at}, bit {bit}"), access, refresh).await;
            }
            let (access, refresh) = kind.alone(&token[..at]);
            world.refuses(&format!("{kind:?}, the first {at} bytes"), access, refresh).await;
            let missing = [&token[..at], &token[at + 1..]].concat();
            let (access, refresh) = kind.alone(&missing);
            world.refuses(&format!("{kind:?}, without byte {at}"), access, refresh).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn invalid_access_token_does_not_prevent_a_renewal() {
    let world = World::new().await;
    for bad in ["", "x", "..", "null", "undefined", "deleted", &world.legitimate.refresh, &"A".repeat(5000)] {
        let refresh = world.legitimate.refresh.as_bytes();
        let answer = world.get_with(Some(bad.as_bytes()), Some(refresh)).await;
        assert_eq!(answer.body, world.welcome.body, "{bad}");
        assert!(answer.cookie("__Host-access").is_some());
    }
    for bad in ["", "x", &world.legitimate.access] {
        let access = world.legitimate.access.as_bytes();
        assert_eq!(world.get_with(Some(access), Some(bad.as_bytes())).await, world.welcome, "{bad}");
    }
    world.still_serves_legitimate_clients().await;
}
