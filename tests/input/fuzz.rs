//! Random changes to valid input: never a panic, and accepted only if the meaning is the same.

use axum::http::{HeaderValue, StatusCode};
use serde_json::Value;
use tower_sliding_sessions::Severity;

use crate::{
    chance::Chance,
    forge::{BOTH, Kind, encode},
    world::{ACCESS, NOW, REFRESH, World},
};

const IN_TOKENS: [&[u8]; 12] =
    [b".", b"..", b"=", b"A", b"-_", b"+/", b"%2e", b"\"", b"\xff", b"eyJhbGciOiJub25lIn0", b"e30", b" "];
const IN_COOKIES: [&[u8]; 16] = [
    b";",
    b"; ",
    b"=",
    b" ",
    b"\t",
    b"\"",
    b",",
    b"\xff",
    b"%48",
    b"a=b; ",
    b"__Host-access",
    b"__Host-refresh",
    b"__Host-access=",
    b"; __Host-refresh=",
    b"__Host-access=x; ",
    b"__host-access=x",
];
const IN_JSON: [&[u8]; 20] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e9",
    b"0",
    b"\\u0073",
    b"\\ud800",
    b"\xff",
    b"\"exp\":",
    b"\"sub\":\"eve\",",
    b"\"nbf\":0,",
    b" ",
    b"\n",
    b"18446744073709551615",
];

#[tokio::test]
async fn randomly_changed_token_is_refused_unless_it_is_the_same() {
    randomly_changed_tokens(World::new().await, 6_000).await;
}

/// Each changed token is refused.
pub(crate) async fn randomly_changed_tokens(world: World, rounds: usize) {
    let mut chance = Chance::new("tokens");
    let mut changed = 0;
    for round in 0..rounds {
        let kind = *chance.pick(&BOTH);
        let (legitimate, other) =
            (kind.of(&world.legitimate).as_bytes(), kind.other().of(&world.legitimate).as_bytes());
        let mut token = legitimate.to_vec();
        chance.mutate(&mut token, other, &IN_TOKENS);
        // A semicolon would end the value, and spaces around it are ignored: the next test covers those.
        let same = token.trim_ascii() == legitimate;
        if same || token.contains(&b';') || HeaderValue::from_bytes(&token).is_err() {
            continue;
        }
        changed += 1;
        let (access, refresh) = kind.alone(&token);
        world.refuses(&format!("round {round}: {}", String::from_utf8_lossy(&token)), access, refresh).await;
    }
    println!("{changed} changed tokens");
    assert!(changed > rounds / 2, "{changed}");
    // Many of them raise no event above DEBUG.
    for event in world.events.lock().expect("no panic").iter().skip(1) {
        assert_eq!(event.kind.severity(), Severity::Debug, "{event:?}");
    }
    world.still_serves_legitimate_clients().await;
}

/// The values of a cookie by RFC 6265bis, parsed independently of the crate.
fn values<'a>(lines: &'a [Vec<u8>], name: &str) -> Vec<&'a [u8]> {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let trimmed = |bytes: &'a [u8]| {
        let start = bytes.iter().position(|b| !is_blank(b)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|b| !is_blank(b)).map_or(start, |last| last + 1);
        &bytes[start..end]
    };
    let pairs = lines.iter().flat_map(|line| line.split(|b| *b == b';'));
    let named = pairs.filter_map(|pair| {
        let equals = pair.iter().position(|b| *b == b'=')?;
        (trimmed(&pair[..equals]) == name.as_bytes()).then(|| trimmed(&pair[equals + 1..]))
    });
    named.collect()
}

#[tokio::test]
async fn randomly_changed_cookie_header_is_accepted_only_if_rfc_6265_finds_the_cookie() {
    let world = World::new().await;
    let mut chance = Chance::new("cookies");
    let (access, refresh) = (&world.legitimate.access, &world.legitimate.refresh);
    let (mut welcomed, mut refused) = (0, 0);
    for round in 0..6_000 {
        let mut line = match chance.below(3) {
            0 => format!("theme=dark; {ACCESS}={access}; lang=en; {REFRESH}={refresh}; q=\"1\""),
            1 => format!("{ACCESS}={access}"),
            _ => format!("a=b; {REFRESH}={refresh}"),
        }
        .into_bytes();
        chance.mutate(&mut line, format!("{ACCESS}={access}").as_bytes(), &IN_COOKIES);
        let cut = chance.below(line.len() + 1);
        let lines = match chance.below(3) {
            0 => vec![line[..cut].to_vec(), line[cut..].to_vec()],
            _ => vec![line],
        };
        if lines.iter().any(|line| HeaderValue::from_bytes(line).is_err()) {
            continue;
        }
        let one = |name| {
            let mut values = values(&lines, name);
            values.dedup();
            values
        };
        let (accesses, refreshes) = (one(ACCESS), one(REFRESH));
        // Other values next to it are ignored.
        let meant = accesses.contains(&access.as_bytes()) || refreshes.contains(&refresh.as_bytes());
        let answer = world.get(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
        let shown = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>();
        if meant {
            welcomed += 1;
            assert_eq!(
                (answer.status, answer.body),
                (StatusCode::OK, world.welcome.body.clone()),
                "round {round}: {shown:?}"
            );
        } else {
            refused += 1;
            assert_eq!(answer, world.anonymous, "round {round}: {shown:?}");
        }
    }
    println!("{welcomed} welcomed, {refused} refused");
    assert!(welcomed > 500 && refused > 500, "{welcomed} {refused}");
    world.still_serves_legitimate_clients().await;
}

/// Whether this crate could have minted an access token with this payload now.
fn is_sound(payload: &[u8]) -> bool {
    let Ok(Value::Object(claims)) = serde_json::from_slice(payload) else { return false };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let number = |name: &str| claims.get(name).and_then(Value::as_u64);
    let (Some(iat), Some(exp)) = (number("iat"), number("exp")) else { return false };
    let known = |name: &String| {
        ["aud", "sub", "sid", "gen", "run", "iat", "nbf", "exp", "auth_time", "step_up", "amr", "ext", "iss"]
            .contains(&name.as_str())
    };
    text("aud") == Some("sessions")
        && text("sub").is_some()
        && text("sid").is_some_and(|sid| sid.len() == 43)
        && text("run").is_some_and(|run| run.len() == 16)
        && number("gen").is_some()
        && number("auth_time").is_some()
        && (iat <= NOW + 5 && NOW < exp && exp - iat <= 361)
        && claims.get("nbf").is_none_or(|nbf| nbf.as_u64().is_some_and(|nbf| nbf <= NOW + 5))
        && claims.get("ext").is_some_and(Value::is_object)
        && claims.keys().all(known)
}

#[tokio::test]
async fn randomly_changed_signed_payload_is_accepted_only_if_valid() {
    let mut world = World::new().await;
    let mut chance = Chance::new("payloads");
    let (mut welcomed, mut refused) = (0, 0);
    for round in 0..8_000 {
        // Some of these signed tokens revoke the session, as reuse does.
        if round % 200 == 0 {
            world = World::new().await;
        }
        let kind = *chance.pick(&BOTH);
        let mut payload = world.forge.payload(kind).into_bytes();
        let other = world.forge.payload(kind.other());
        chance.mutate(&mut payload, other.as_bytes(), &IN_JSON);
        let token = world.forge.token(kind, world.forge.header(kind), &payload);
        let (access, refresh) = kind.alone(token.as_bytes());
        let answer = world.get_with(access, refresh).await;
        let shown = String::from_utf8_lossy(&payload);
        if answer.status == StatusCode::OK {
            welcomed += 1;
            // A refresh token is valid if it names a session in the store.
            assert!(kind == Kind::Refresh || is_sound(&payload), "round {round}: {shown}");
        } else {
            refused += 1;
            assert_eq!(answer, world.anonymous, "round {round}: {shown}");
        }
    }
    println!("{welcomed} welcomed, {refused} refused");
    assert!(welcomed > 20 && refused > 1_000, "{welcomed} {refused}");
}

#[tokio::test]
async fn randomly_changed_signed_header_is_accepted_only_if_equivalent() {
    let world = World::new().await;
    let mut chance = Chance::new("headers");
    let mut welcomed = 0;
    for round in 0..6_000 {
        let kind = *chance.pick(&BOTH);
        let legitimate = world.forge.header(kind);
        let mut header = legitimate.clone().into_bytes();
        chance.mutate(&mut header, world.forge.header(kind.other()).as_bytes(), &IN_JSON);
        let message = format!("{}.{}", encode(&header), encode(world.forge.payload(kind)));
        let token = world.forge.sign_raw(kind, &message);
        let (access, refresh) = kind.alone(token.as_bytes());
        let answer = world.get_with(access, refresh).await;
        let shown = String::from_utf8_lossy(&header);
        let meaning = |json: &[u8]| serde_json::from_slice::<Value>(json).ok();
        if answer.status == StatusCode::OK {
            welcomed += 1;
            assert_eq!(meaning(&header), meaning(legitimate.as_bytes()), "round {round}: {shown}");
        } else {
            assert_eq!(answer, world.anonymous, "round {round}: {shown}");
        }
    }
    println!("{welcomed} welcomed");
    assert!(welcomed > 20, "{welcomed}");
    world.still_serves_legitimate_clients().await;
}
