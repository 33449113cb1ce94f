//! Proofs that are none, at the registration and at the refresh.

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower_sliding_sessions::EventKind;

use super::{
    browser::{Browser, offer_of},
    key::DeviceKey,
    world::{Answer, World},
};

const START: &str = "/auth/device/start";
const REFRESH: &str = "/auth/device/refresh";

fn request(world: &World, browser: &Browser, path: &str, proof: &str) -> Request<Body> {
    browser.request(Method::POST, path, world.now(), &[("secure-session-response", proof)])
}

/// A browser that has not registered, and the challenge that it was offered.
async fn offered(world: &World) -> (Browser, String) {
    let mut browser = Browser::without_device();
    let answer = browser.post(world, "/login").await;
    (browser, offer_of(&answer).expect("an offer").1)
}

/// A challenge for a refresh.
async fn challenged(world: &World, browser: &Browser) -> String {
    let answer = world.one.answer(browser.request(Method::POST, REFRESH, world.now(), &[])).await;
    challenge_of(&answer)
}

fn challenge_of(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    let challenge = answer.header("secure-session-challenge").expect("a challenge");
    challenge.split('"').nth(1).expect("a text").to_owned()
}

fn reasons(world: &World) -> Vec<&'static str> {
    let events = world.events.lock().expect("no panic");
    let why = |kind: &EventKind| match kind {
        EventKind::DeviceProofInvalid { why } => Some(*why),
        _ => None,
    };
    events.iter().filter_map(why).collect()
}

/// `alg: none`, with no signature.
fn unsigned(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(payload))
}

#[tokio::test]
async fn registration_with_an_invalid_proof_binds_nothing() {
    let world = World::new();
    let (browser, challenge) = offered(&world).await;
    let (key, other) = (DeviceKey::new(1), DeviceKey::new(2));
    let header = |change: &dyn Fn(&mut Value)| {
        let mut header = json!({"alg": "ES256", "typ": "dbsc+jwt", "jwk": key.jwk()});
        change(&mut header);
        header
    };
    let payload = json!({"jti": challenge});
    let last = if challenge.ends_with('A') { 'Q' } else { 'A' };
    let good = key.register(&challenge);
    let mut other_signature = good.clone();
    other_signature.truncate(other_signature.rfind('.').expect("a dot"));
    other_signature.push_str(&other.register(&challenge)[good.rfind('.').expect("a dot")..]);
    let without_y = |header: &mut Value| drop(header["jwk"].as_object_mut().expect("an object").remove("y"));
    let proofs = [
        ("malformed", String::new()),
        ("malformed", "a.b.c".to_owned()),
        ("malformed", format!("{good}.x")),
        ("malformed", format!("{good}=")),
        ("malformed", key.sign(&header(&|_| ()), &json!({"jti": "x".repeat(5000)}))),
        ("malformed", key.sign(&header(&|_| ()), &json!({}))),
        ("malformed", key.sign(&header(&|_| ()), &json!({"jti": 1}))),
        ("malformed", key.sign(&header(&|header| header["crit"] = json!(["b64"])), &payload)),
        ("type", key.sign(&header(&|header| header["typ"] = json!("jwt")), &payload)),
        ("type", key.sign(&header(&|header| header["typ"] = json!("at+jwt")), &payload)),
        ("algorithm", unsigned(&header(&|header| header["alg"] = json!("none")), &payload)),
        ("algorithm", key.sign(&header(&|header| header["alg"] = json!("HS256")), &payload)),
        ("signature", key.sign(&header(&|header| header["alg"] = json!("RS256")), &payload)),
        ("key", key.prove(&challenge)),
        ("key", key.sign(&header(&without_y), &payload)),
        ("key", key.sign(&header(&|header| header["jwk"]["d"] = json!("AAAA")), &payload)),
        ("key", key.sign(&header(&|header| header["jwk"]["x"] = json!("A".repeat(43))), &payload)),
        ("signature", key.sign(&header(&|header| header["jwk"] = other.jwk()), &payload)),
        ("signature", other_signature),
        ("challenge", key.register("")),
        ("challenge", key.register(&challenge[1..])),
        ("challenge", key.register(&format!("{}{last}", &challenge[..challenge.len() - 1]))),
    ];
    for (why, proof) in proofs {
        let answer = world.one.answer(request(&world, &browser, START, &proof)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{proof}");
        assert!(answer.set_cookies().is_empty());
        assert_eq!(reasons(&world).last(), Some(&why), "{proof}");
    }
    let twice = request(&world, &browser, START, &good);
    let (mut parts, body) = twice.into_parts();
    parts.headers.append("secure-session-response", good.parse().expect("a header value"));
    assert_eq!(world.one.answer(Request::from_parts(parts, body)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceRegistered), 0);
    assert!(world.one.answer(request(&world, &browser, START, &good)).await.ok());
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceRegistered), 1);
}

#[tokio::test]
async fn challenge_is_good_for_two_minutes_for_one_session_and_purpose() {
    let world = World::new();
    let (browser, challenge) = offered(&world).await;
    let (other, _) = offered(&world).await;
    let key = DeviceKey::new(1);
    let registered = async |browser: &Browser, challenge: &str| {
        world.one.answer(request(&world, browser, START, &key.register(challenge))).await.status
    };
    assert_eq!(registered(&other, &challenge).await, StatusCode::BAD_REQUEST);
    world.pass(119);
    assert_eq!(registered(&browser, &challenge).await, StatusCode::OK);
    // It can be used again. Browsers do so if they get no answer.
    assert_eq!(registered(&browser, &challenge).await, StatusCode::OK);
    let for_refresh = challenged(&world, &browser).await;
    assert_eq!(registered(&browser, &for_refresh).await, StatusCode::BAD_REQUEST);
    world.pass(1);
    assert_eq!(registered(&browser, &challenge).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn refresh_with_an_invalid_proof_renews_nothing_and_asks_again() {
    let world = World::new();
    let browser = Browser::confirmed(&world).await;
    let key = browser.bound.clone().expect("a bound session").key;
    let challenge = challenged(&world, &browser).await;
    let (another, _) = offered(&world).await;
    let of_another = offer_of(&{
        let mut browser = another;
        world.pass(301);
        browser.get(&world, "/me").await
    });
    let challenge_of_another = of_another.expect("an offer").1;
    let payload = json!({"jti": challenge});
    let proofs = [
        String::new(),
        "a.b.c".to_owned(),
        unsigned(&json!({"alg": "none", "typ": "dbsc+jwt"}), &payload),
        key.sign(&json!({"alg": "ES256", "typ": "jwt"}), &payload),
        key.sign(&json!({"alg": "ES256"}), &payload),
        key.register(&challenge),
        key.prove(&challenge),
        key.prove(&challenge_of_another),
    ];
    let renewed = || world.count(|kind| matches!(kind, EventKind::Renewed(_)));
    let before = renewed();
    for proof in proofs {
        let answer = world.one.answer(request(&world, &browser, REFRESH, &proof)).await;
        assert!(answer.set_cookies().is_empty(), "{proof}");
        let again = challenge_of(&answer);
        assert_ne!(again, challenge);
    }
    assert_eq!(renewed(), before);
    let challenge = challenged(&world, &browser).await;
    assert!(world.one.answer(request(&world, &browser, REFRESH, &key.prove(&challenge))).await.ok());
}

#[tokio::test]
async fn proof_of_another_key_renews_nothing_and_the_owner_goes_on() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    let challenge = challenged(&world, &browser).await;
    let proof = DeviceKey::new(99).prove(&challenge);
    let answer = world.one.answer(request(&world, &browser, REFRESH, &proof)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.set_cookies().is_empty());
    assert_eq!(reasons(&world), ["other_key"]);
    assert_eq!(warnings(&world), 1);
    world.pass(301);
    assert!(browser.get(&world, "/me").await.ok());
}

/// Warnings about attempts without the key.
fn warnings(world: &World) -> usize {
    world.count(|kind| *kind == EventKind::DeviceProofMissing)
}

#[tokio::test]
async fn refresh_by_an_attacker_without_the_key_is_a_warning_once_a_minute() {
    let world = World::new();
    let browser = Browser::confirmed(&world).await;
    let challenge = challenged(&world, &browser).await;
    let other = DeviceKey::new(99);
    let payload = json!({"jti": challenge});
    let proofs = [
        other.prove(&challenge),
        other.prove("expired"),
        other.register(&challenge),
        "a.b.c".to_owned(),
        unsigned(&json!({"alg": "none", "typ": "dbsc+jwt"}), &payload),
    ];
    for (nth, proof) in proofs.iter().enumerate() {
        world.pass(60);
        for _ in 0..3 {
            let answer = world.one.answer(request(&world, &browser, REFRESH, proof)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
            assert_eq!(warnings(&world), nth + 1, "{proof}");
        }
    }
}

#[tokio::test]
async fn challenge_that_expired_at_the_browser_is_no_warning() {
    let world = World::new();
    let browser = Browser::confirmed(&world).await;
    let key = browser.bound.clone().expect("a bound session").key;
    let challenge = challenged(&world, &browser).await;
    world.pass(180);
    let answer = world.one.answer(request(&world, &browser, REFRESH, &key.prove(&challenge))).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!((reasons(&world), warnings(&world)), (vec!["challenge"], 0));
}

#[tokio::test]
async fn invalid_proof_before_the_confirmation_is_no_warning() {
    let world = World::new();
    let browser = Browser::signed_in(&world).await;
    let challenge = challenged(&world, &browser).await;
    for proof in ["a.b.c", &DeviceKey::new(99).prove(&challenge)] {
        world.one.answer(request(&world, &browser, REFRESH, proof)).await;
        assert_eq!(warnings(&world), 0);
    }
}

#[tokio::test]
async fn stranger_without_a_refresh_token_reaches_no_store_and_no_log_above_debug() {
    let world = World::new();
    world.store.fail(&["get", "replace", "advance"]);
    let stranger = Browser::new();
    for path in [START, REFRESH] {
        for proof in ["", "a.b.c", &DeviceKey::new(1).register("x")] {
            let answer = world.one.answer(request(&world, &stranger, path, proof)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        }
    }
    assert!(world.events.lock().expect("no panic").is_empty());
}
