//! JOSE headers: correctly signed, but not as this crate mints them.

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Sha384, Sha512};

use crate::{
    forge::{BOTH, Kind, encode},
    world::{SECRET, World},
};

/// Tokens with this header are refused as access and as refresh token.
async fn refused(world: &World, header: impl Fn(Kind) -> String) {
    for kind in BOTH {
        let header = header(kind);
        let token = world.forge.token(kind, &header, world.forge.payload(kind));
        let (access, refresh) = kind.alone(token.as_bytes());
        world.refuses(&header, access, refresh).await;
    }
}

#[tokio::test]
async fn forged_token_with_a_valid_header_is_accepted_so_the_refusals_mean_something() {
    let world = World::new().await;
    let kid = &world.forge.kid;
    for kind in BOTH {
        let (typ, payload) = (kind.typ(), world.forge.payload(kind));
        for header in [
            world.forge.header(kind),
            format!(r#"{{"typ":"{typ}","kid":"{kid}","alg":"HS256"}}"#),
            format!(" {{\t\"kid\" : \"{kid}\" ,\r\n \"alg\":\"HS256\", \"typ\":\"{typ}\" }} "),
            format!(r#"{{"\u0061lg":"HS2\u00356","kid":"{kid}","typ":"{typ}"}}"#),
        ] {
            let token = world.forge.token(kind, &header, &payload);
            let (access, refresh) = kind.alone(token.as_bytes());
            let answer = world.get_with(access, refresh).await;
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &world.welcome.body), "{header}");
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn algorithm_other_than_that_of_the_key_is_refused() {
    let world = World::new().await;
    let kid = world.forge.kid.clone();
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS384",
        "HS512",
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
        "hs256",
        "HS256 ",
        "HS256\\u0000",
        "dir",
        "A128KW",
    ] {
        refused(&world, |kind| format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{}"}}"#, kind.typ())).await;
    }
    for alg in ["null", "[\"HS256\"]", "256", "{}", "true"] {
        refused(&world, |kind| format!(r#"{{"alg":{alg},"kid":"{kid}","typ":"{}"}}"#, kind.typ())).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn missing_or_longer_signature_is_refused() {
    let world = World::new().await;
    for kind in BOTH {
        for alg in ["none", "HS256", "HS384", "HS512"] {
            let header = format!(r#"{{"alg":"{alg}","kid":"{}","typ":"{}"}}"#, world.forge.kid, kind.typ());
            let message = format!("{}.{}", encode(header), encode(world.forge.payload(kind)));
            let long = Hmac::<Sha384>::new_from_slice(SECRET).expect("any length");
            let longest = Hmac::<Sha512>::new_from_slice(SECRET).expect("any length");
            let long = long.chain_update(&message).finalize().into_bytes();
            let longest = longest.chain_update(&message).finalize().into_bytes();
            let mac = world.forge.mac(kind, message.as_bytes());
            for signature in [
                &b""[..],
                &[0],
                &[0; 32],
                &long,
                &longest,
                &mac[..31],
                &mac[..16],
                &[&mac[..], b"\0"].concat(),
            ] {
                world.refuses_token(alg, format!("{message}.{}", encode(signature))).await;
            }
            world.refuses_token("no last part", &message).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn only_the_key_that_the_header_names_verifies() {
    let world = World::new().await;
    let kid = world.forge.kid.clone();
    for other in ["", "other", "0", "../../dev/null", "' or 1=1", "\\u0000"] {
        refused(&world, |kind| format!(r#"{{"alg":"HS256","kid":"{other}","typ":"{}"}}"#, kind.typ())).await;
    }
    for other in [format!("{kid}x"), kid.to_uppercase(), kid[1..].to_owned(), format!(" {kid}")] {
        refused(&world, |kind| format!(r#"{{"alg":"HS256","kid":"{other}","typ":"{}"}}"#, kind.typ())).await;
    }
    for other in ["null".to_owned(), "1".to_owned(), format!("[\"{kid}\"]"), format!("{{\"\":\"{kid}\"}}")] {
        refused(&world, |kind| format!(r#"{{"alg":"HS256","kid":{other},"typ":"{}"}}"#, kind.typ())).await;
    }
    refused(&world, |kind| format!(r#"{{"alg":"HS256","typ":"{}"}}"#, kind.typ())).await;
    refused(&world, |kind| format!(r#"{{"kid":"{kid}","typ":"{}"}}"#, kind.typ())).await;
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn vouchers_by_unknown_keys_have_no_effect() {
    use tower_sliding_sessions::Keyring;
    let world = World::new().await;
    let kid = world.forge.kid.clone();
    // A voucher by a key of this ring for another key than the one that is named.
    let other = Keyring::hs256(b"another-secret-of-32-bytes-7Xq2L").expect("a valid secret");
    let both = other.publish(Keyring::hs256(SECRET).expect("a valid secret")).expect("two names");
    let elsewhere = World::with_keys(both, |builder| builder).await;
    let header = String::from_utf8(crate::forge::part(&elsewhere.legitimate.access, 0)).expect("text");
    let real = header.split(r#""vouch":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("vouchers");
    assert_eq!(real.len(), 12);
    let too_many = real.repeat(4);
    let long = "A".repeat(200);
    for vouch in ["", "AAAAAAAAAAAA", "not base64 !", "AAAA", real, &too_many, &long] {
        refused(&world, |kind| {
            format!(r#"{{"alg":"HS256","kid":"other","typ":"{}","vouch":"{vouch}"}}"#, kind.typ())
        })
        .await;
    }
    for vouch in ["null", "1", "[]"] {
        refused(&world, |kind| {
            format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{}","vouch":{vouch}}}"#, kind.typ())
        })
        .await;
    }
    // The right kid with vouchers, by an invalid algorithm or type.
    let named = header.split(r#""kid":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a kid");
    for alg in ["none", "RS256", "HS512"] {
        refused(&world, |kind| {
            format!(r#"{{"alg":"{alg}","kid":"{named}","typ":"{}","vouch":"{real}"}}"#, kind.typ())
        })
        .await;
    }
    refused(&world, |_| format!(r#"{{"alg":"HS256","kid":"{named}","typ":"JWT","vouch":"{real}"}}"#)).await;
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn access_and_refresh_tokens_are_not_interchangeable() {
    let world = World::new().await;
    let (kid, forge) = (world.forge.kid.clone(), &world.forge);
    let legitimate = &world.legitimate;
    world.refuses("swapped", Some(legitimate.refresh.as_bytes()), Some(legitimate.access.as_bytes())).await;
    for kind in BOTH {
        let other = kind.other();
        // Every mix of key, header and claims, except for the three of one kind.
        for (key, header, claims) in [
            (kind, kind, other),
            (kind, other, kind),
            (kind, other, other),
            (other, kind, kind),
            (other, kind, other),
            (other, other, kind),
        ] {
            let token = forge.token(key, forge.header(header), forge.payload(claims));
            let (access, refresh) = kind.alone(token.as_bytes());
            world.refuses(&format!("{key:?} {header:?} {claims:?} as {kind:?}"), access, refresh).await;
        }
    }
    for typ in ["JWT", "jwt", "AT+JWT", "RT+JWT", "application/at+jwt", "application/rt+jwt", "at+jwt ", ""] {
        refused(&world, |_| format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{typ}"}}"#)).await;
    }
    for typ in ["null", "[\"at+jwt\",\"rt+jwt\"]", "0"] {
        refused(&world, |_| format!(r#"{{"alg":"HS256","kid":"{kid}","typ":{typ}}}"#)).await;
    }
    refused(&world, |_| format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#)).await;
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn unknown_header_member_is_refused() {
    let world = World::new().await;
    for member in [
        r#""crit":["exp"],"exp":0"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""b64":true,"crit":["b64"]"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""cty":"JWT""#,
        r#""jwk":{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        r#""jku":"https://evil.example/keys.json""#,
        r#""x5u":"https://evil.example/chain.pem""#,
        r#""x5c":["AAAA"]"#,
        r#""x5t":"AAAA""#,
        r#""x5t#S256":"AAAA""#,
        r#""epk":{}"#,
        r#""p2c":4294967295"#,
        r#""nonce":"x""#,
        r#""":"x""#,
    ] {
        refused(&world, |kind| world.forge.header(kind).replacen('{', &format!("{{{member},"), 1)).await;
        refused(&world, |kind| world.forge.header(kind).replacen('}', &format!(",{member}}}"), 1)).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn repeated_header_member_is_refused_in_any_spelling() {
    let world = World::new().await;
    for (name, value) in [("alg", "HS256"), ("kid", &world.forge.kid), ("typ", "")] {
        for spelt in [name.to_owned(), format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..])] {
            let member = |kind: Kind| {
                let value = if value.is_empty() { kind.typ() } else { value };
                format!(r#""{spelt}":"{value}""#)
            };
            refused(&world, |kind| {
                world.forge.header(kind).replacen('{', &format!("{{{},", member(kind)), 1)
            })
            .await;
            refused(&world, |kind| {
                world.forge.header(kind).replacen('}', &format!(",{}}}", member(kind)), 1)
            })
            .await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn header_other_than_one_json_object_is_refused() {
    let world = World::new().await;
    let kid = world.forge.kid.clone();
    refused(&world, |kind| format!(r#"["HS256","{kid}","{}"]"#, kind.typ())).await;
    refused(&world, |kind| format!("{}{{}}", world.forge.header(kind))).await;
    refused(&world, |kind| format!("\u{feff}{}", world.forge.header(kind))).await;
    refused(&world, |kind| world.forge.header(kind).replace('"', "'")).await;
    refused(&world, |kind| world.forge.header(kind).replacen('}', ",}", 1)).await;
    refused(&world, |kind| world.forge.header(kind).replacen(',', "/**/,", 1)).await;
    refused(&world, |kind| format!("{}{}", world.forge.header(kind), " ".repeat(2000))).await;
    refused(&world, |_| "[".repeat(280)).await;
    for nothing in ["", "{}", "null", "\"\"", "0"] {
        refused(&world, |_| nothing.to_owned()).await;
    }
    world.still_serves_legitimate_clients().await;
}
