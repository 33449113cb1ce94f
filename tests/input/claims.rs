//! Claims: correctly signed, but not as this crate mints them.

use axum::http::StatusCode;

use crate::{
    forge::{BOTH, Kind, object},
    world::{NOW, SECRET, World},
};
use tower_sliding_sessions::Keyring;

const REFRESH_CLAIMS: [&str; 7] = ["aud", "sub", "sid", "gen", "run", "iat", "exp"];
const ACCESS_CLAIMS: [&str; 9] = ["aud", "sub", "sid", "gen", "run", "iat", "exp", "auth_time", "ext"];

fn required(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Access => &ACCESS_CLAIMS,
        Kind::Refresh => &REFRESH_CLAIMS,
    }
}

async fn refused(world: &World, kind: Kind, payload: impl AsRef<[u8]>) {
    let payload = payload.as_ref();
    let token = world.forge.token(kind, world.forge.header(kind), payload);
    let (access, refresh) = kind.alone(token.as_bytes());
    let what = format!("{kind:?} {}", String::from_utf8_lossy(&payload[..payload.len().min(400)]));
    world.refuses(&what, access, refresh).await;
}

async fn accepted(world: &World, payload: impl AsRef<[u8]>) -> bool {
    let token = world.forge.token(Kind::Access, world.forge.header(Kind::Access), payload);
    let is_accepted = world.get_with(Some(token.as_bytes()), None).await.status == StatusCode::OK;
    #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
    if let Some(twin) = &world.twin {
        assert_eq!(twin.accepts(&world.forge, token.as_bytes()).await, is_accepted);
    }
    is_accepted
}

#[tokio::test]
async fn missing_claim_is_refused() {
    let world = World::new().await;
    for kind in BOTH {
        for name in required(kind) {
            let payload = world.forge.payload_without(kind, name);
            assert_ne!(payload, world.forge.payload(kind));
            refused(&world, kind, payload).await;
        }
        refused(&world, kind, "{}").await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn claim_of_another_json_type_is_refused() {
    let world = World::new().await;
    let numbers = ["iat", "exp", "gen", "auth_time"];
    for kind in BOTH {
        for name in required(kind).iter().copied().chain(["nbf", "step_up", "amr", "iss"]) {
            let is_number = numbers.contains(&name) || name == "nbf";
            let mut wrong = vec!["null", "true", "{}", "[[]]", "[null]"];
            match name {
                "amr" => wrong.extend(["\"pwd\"", "1", "[1]", "[\"pwd\",null]", "{\"0\":\"pwd\"}"]),
                "step_up" => wrong.extend([
                    "1",
                    "\"done\"",
                    "{\"done\":{}}",
                    "{\"done\":{\"at\":\"1800000100\"}}",
                    "{\"done\":{\"at\":-1}}",
                    "{\"done\":{\"at\":1800000100,\"amr\":[1]}}",
                    "{\"done\":{\"at\":1800000100,\"by\":[]}}",
                ]),
                _ if is_number => wrong.extend([
                    "\"1800000100\"",
                    "1800000100.0",
                    "1800000100.5",
                    "1.8000001e9",
                    "18000001E2",
                    "-1",
                    "-0",
                    "18446744073709551616",
                    "1e400",
                    "[1800000100]",
                ]),
                _ => wrong.extend(["1", "0.5", "[\"sessions\"]"]),
            }
            for value in wrong {
                refused(&world, kind, world.forge.payload_with(kind, name, value)).await;
            }
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn audience_and_issuer_must_match_exactly() {
    let keys = || Keyring::hs256(SECRET).expect("a valid secret");
    #[cfg_attr(not(feature = "verify"), expect(unused_mut, reason = "there is no twin to add"))]
    let mut world = World::with_keys(keys(), |builder| builder.issuer("https://id.example")).await;
    #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
    world.add_twin(|twin| twin.issuer("https://id.example")).await;
    for (name, ours) in [("aud", "sessions"), ("iss", "https://id.example")] {
        let with = |value: &str| world.forge.payload_with(Kind::Access, name, value);
        assert!(accepted(&world, with(&format!("\"{ours}\""))).await);
        for value in [
            format!("\"{ours} \""),
            format!("\"{ours}/\""),
            format!("\"{}\"", ours.to_uppercase()),
            format!("[\"{ours}\"]"),
            format!("[\"{ours}\",\"other\"]"),
            format!("{{\"0\":\"{ours}\"}}"),
            "\"\"".to_owned(),
            "null".to_owned(),
        ] {
            refused(&world, Kind::Access, with(&value)).await;
        }
        refused(&world, Kind::Access, world.forge.payload_without(Kind::Access, name)).await;
    }
    for aud in ["\"other\"", "\"SESSIONS\"", "[\"sessions\"]", "\"\""] {
        refused(&world, Kind::Refresh, world.forge.payload_with(Kind::Refresh, "aud", aud)).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn unknown_claim_is_refused() {
    let world = World::new().await;
    for kind in BOTH {
        for name in ["admin", "scope", "role", "jti", "cnf", "EXP", "Sub", "sub ", "", "__proto__"] {
            refused(&world, kind, world.forge.payload_with(kind, name, "\"x\"")).await;
        }
    }
    for name in ["auth_time", "ext", "nbf", "iss"] {
        refused(&world, Kind::Refresh, world.forge.payload_with(Kind::Refresh, name, "1")).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn repeated_claim_is_refused_at_any_depth_and_in_any_spelling() {
    let world = World::new().await;
    for kind in BOTH {
        for (name, value) in world.forge.claims(kind) {
            let escaped: String = name.bytes().map(|b| format!("\\u{b:04x}")).collect();
            for spelt in [name.clone(), escaped] {
                let (mut first, mut last) = (world.forge.claims(kind), world.forge.claims(kind));
                first.insert(0, (spelt.clone(), value.clone()));
                last.push((spelt, value.clone()));
                refused(&world, kind, object(&first)).await;
                refused(&world, kind, object(&last)).await;
            }
        }
    }
    let ext = |extra: &str| {
        let ext = format!(r#"{{"name":"ann","roles":[],"extra":{extra}}}"#);
        world.forge.payload_with(Kind::Access, "ext", &ext)
    };
    assert!(accepted(&world, ext(r#"{"a":{"b":1},"b":{"b":1}}"#)).await);
    for extra in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":{"b":[0,{"c":1,"d":2,"c":1}]}}"#,
        r#"[[[{"\u00e9":1,"é":1}]]]"#,
        r#"{"":1,"":2}"#,
        r#"1,"extra":2"#,
        r#"1,"n\u0061me":"root""#,
    ] {
        refused(&world, Kind::Access, ext(extra)).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn times_are_checked_to_the_second_without_overflow() {
    let world = World::new().await;
    let at = |claims: &[(&str, u64)]| {
        let mut payload = world.forge.claims(Kind::Access);
        for (name, value) in claims {
            payload.retain(|(other, _)| other != name);
            payload.push(((*name).to_owned(), value.to_string()));
        }
        object(&payload)
    };
    for fine in [
        at(&[("iat", NOW + 5), ("exp", NOW + 305)]),
        at(&[("nbf", NOW)]),
        at(&[("nbf", NOW + 5)]),
        at(&[("exp", NOW + 361)]), // the lifetime and the write window, rounded up
        at(&[("iat", NOW - 250), ("exp", NOW + 111)]),
    ] {
        assert!(accepted(&world, &fine).await, "{fine}");
    }
    for bad in [
        at(&[("nbf", NOW + 6)]),
        at(&[("nbf", u64::MAX)]),
        at(&[("iat", NOW + 6), ("exp", NOW + 100)]),
        at(&[("iat", u64::MAX), ("exp", u64::MAX)]),
        at(&[("exp", NOW)]),
        at(&[("exp", NOW - 1)]),
        at(&[("exp", 0)]),
        at(&[("iat", 0)]),
        at(&[("exp", u64::MAX)]),
        at(&[("exp", NOW + 362)]),
        at(&[("iat", NOW - 250), ("exp", NOW + 112)]),
        at(&[("iat", 0), ("exp", u64::MAX)]),
    ] {
        refused(&world, Kind::Access, bad).await;
    }
    for exp in [0, NOW - 1, NOW] {
        refused(&world, Kind::Refresh, world.forge.payload_with(Kind::Refresh, "exp", &exp.to_string()))
            .await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn identifier_has_exactly_one_spelling() {
    let world = World::new().await;
    for kind in BOTH {
        let claim = |name: &str| {
            let claims = world.forge.claims(kind);
            claims.into_iter().find(|(other, _)| other == name).expect("a claim").1.replace('"', "")
        };
        let (sid, run) = (claim("sid"), claim("run"));
        let last = sid.chars().next_back().expect("43 characters");
        let stray = char::from_u32(u32::from(last) + 1).expect("a character");
        for value in [
            format!("{sid}="),
            format!("{sid}A"),
            format!("{}{stray}", &sid[..42]),
            sid[..42].to_owned(),
            format!(" {sid}"),
            String::new(),
            "+/".repeat(21) + "A",
            "A".repeat(2000),
        ] {
            refused(&world, kind, world.forge.payload_with(kind, "sid", &format!("\"{value}\""))).await;
        }
        for value in [
            format!("{run}0"),
            format!("A{}", &run[1..]),
            format!("+{}", &run[1..]),
            format!("0x{run}"),
            run[1..].to_owned(),
            "0".repeat(16),
            format!("{}G", &run[1..]),
        ] {
            refused(&world, kind, world.forge.payload_with(kind, "run", &format!("\"{value}\""))).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn payload_other_than_one_json_object_in_utf_8_is_refused() {
    let world = World::new().await;
    for kind in BOTH {
        let payload = world.forge.payload(kind);
        let values: Vec<_> = required(kind)
            .iter()
            .map(|name| world.forge.claims(kind).into_iter().find(|(other, _)| other == name).expect("it").1)
            .collect();
        refused(&world, kind, format!("[{}]", values.join(","))).await;
        // An array of all values, which a reader that fills fields by position would accept.
        if let (Kind::Access, [head @ .., exp, auth_time, ext]) = (kind, &values[..]) {
            let head = head.join(",");
            refused(&world, kind, format!("[null,{head},null,{exp},{auth_time},null,[],{ext}]")).await;
        }
        refused(&world, kind, format!("{payload}{{}}")).await;
        refused(&world, kind, format!("{payload}\0")).await;
        refused(&world, kind, format!("\u{feff}{payload}")).await;
        refused(&world, kind, payload.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).await;
        for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"] {
            let broken = payload.as_bytes().split(|b| *b == b'n').collect::<Vec<_>>().join(bad);
            refused(&world, kind, broken).await;
            let at = payload.find("ann").expect("the name");
            let broken = [&payload.as_bytes()[..at], bad, &payload.as_bytes()[at..]].concat();
            refused(&world, kind, broken).await;
        }
        for bad in ["\"\\ud800\"", "\"\\udc00\\ud800\"", "\"a\nb\"", "\"\\x41\"", "'ann'", "NaN", "01", "\""]
        {
            refused(&world, kind, world.forge.payload_with(kind, "sub", bad)).await;
        }
        for nothing in ["", "null", "0", "\"\"", "[]", " "] {
            refused(&world, kind, nothing).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn deeply_nested_claim_is_refused_without_recursion() {
    let world = World::new().await;
    let depths = [130, 700, 1000];
    for depth in depths {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let depth = depth.min(2000 / (open.len() + close.len()));
            let nested = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            for kind in BOTH {
                refused(&world, kind, &nested).await;
                refused(&world, kind, open.repeat(depth)).await;
                refused(&world, kind, world.forge.payload_with(kind, "sub", &nested)).await;
                refused(&world, kind, world.forge.payload_with(kind, "ext", &nested)).await;
            }
            let ext = format!(r#"{{"name":"ann","roles":[],"extra":{nested}}}"#);
            refused(&world, Kind::Access, world.forge.payload_with(Kind::Access, "ext", &ext)).await;
        }
    }
    for kind in BOTH {
        refused(&world, kind, "[".repeat(100_000)).await;
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn token_that_could_not_have_been_minted_here_is_refused() {
    let world = World::new().await;
    let with = |kind, name: &str, value: &str| world.forge.payload_with(kind, name, value);
    for kind in BOTH {
        refused(&world, kind, with(kind, "sub", "\"\"")).await;
        refused(&world, kind, with(kind, "iat", &(NOW + 2_000_000).to_string())).await;
    }
    // Within the leeway, but after its expiry.
    let claims = world.forge.claims(Kind::Access).into_iter().map(|(name, value)| match &*name {
        "iat" => (name, (NOW + 4).to_string()),
        "exp" => (name, (NOW + 3).to_string()),
        _ => (name, value),
    });
    refused(&world, Kind::Access, object(&claims.collect::<Vec<_>>())).await;
    // The times of a refresh token are those of its record.
    let number = |name: &str| -> u64 {
        let claims = world.forge.claims(Kind::Refresh);
        claims.iter().find(|(other, _)| other == name).expect("a claim").1.parse().expect("a number")
    };
    for (name, offset) in [("exp", 1), ("exp", -1), ("iat", 1), ("iat", -1)] {
        let value = number(name).checked_add_signed(offset).expect("no overflow").to_string();
        let token = world.forge.token(
            Kind::Refresh,
            world.forge.header(Kind::Refresh),
            with(Kind::Refresh, name, &value),
        );
        assert_eq!(world.get_with(None, Some(token.as_bytes())).await, world.anonymous, "{name} {value}");
    }
    world.still_serves_legitimate_clients().await;
}
