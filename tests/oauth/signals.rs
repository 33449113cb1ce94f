//! Sign-outs that others ask for: global token revocation, and security events.

use std::time::Duration;

use axum::{Router, body::Body};
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    EventKind, PublicKey, Rejection,
    signals::{Signals, SubjectId, Transmitter},
    store::MemoryStore,
};

use crate::{
    support::{Answer, Probe, Trouble, World},
    vectors::{ED25519_PUBLIC, ED25519_V1, P256, P256_PUBLIC},
};

const NOW: u64 = 1_800_000_000;
const IDP: &str = "https://idp.example";
const US: &str = "https://shop.example";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// The subject that an identifier means.
async fn resolve(subject: SubjectId) -> Result<Option<String>, std::io::Error> {
    let subject = match subject.format() {
        "complex" => subject.part("user").unwrap(),
        _ => subject,
    };
    match (subject.format(), subject.get("sub").or(subject.get("email"))) {
        ("iss_sub" | "email", Some("broken@example.com")) => Err(std::io::Error::other("no directory")),
        ("iss_sub" | "email", Some(name)) if name != "unknown@example.com" => {
            Ok(Some(name.trim_end_matches("@example.com").to_owned()))
        }
        _ => Ok(None),
    }
}

fn key() -> PublicKey {
    PublicKey::from_pem(ED25519_PUBLIC).unwrap().with_kid("idp-1").unwrap()
}

fn app(world: &World) -> Router {
    Signals::new(&world.sessions, resolve)
        .global_revocation(|head, subject| match head.headers.get("authorization") {
            None => Err(Rejection::unauthenticated()),
            Some(given) if given != "Bearer idp" => Err(Rejection::unauthenticated()),
            Some(_) if subject.get("email") == Some("root@example.com") => Err(Rejection::forbidden()),
            Some(_) => Ok(()),
        })
        .receive_from(Transmitter::new(IDP, US, [key()]))
        .router()
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

async fn revoke(world: &World, caller: Option<&str>, body: &str) -> Answer {
    let mut request = Request::post("/global-token-revocation").header("content-type", "application/json");
    if let Some(caller) = caller {
        request = request.header("authorization", format!("Bearer {caller}"));
    }
    send(&app(world), request.body(Body::from(body.to_owned())).unwrap()).await
}

fn email(name: &str) -> String {
    json!({ "sub_id": { "format": "email", "email": format!("{name}@example.com") } }).to_string()
}

#[tokio::test]
async fn global_revocation_ends_every_session_of_the_subject_and_no_other() {
    let world = World::new();
    let (one, two) = (world.signed_in("ann").await, world.signed_in("ann").await);
    let other = world.signed_in("bob").await;
    let answer = revoke(&world, Some("idp"), &email("ann")).await;
    assert_eq!((answer.status, answer.json), (204, Value::Null));
    for client in [one, two] {
        assert_eq!(client.get(&world, "/me").await.status, 401);
        assert!(client.exchange(&world).await.is_error(400, "invalid_grant"));
    }
    assert_eq!(other.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn global_revocation_is_refused_with_the_status_of_the_draft() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"sub_id": "ann"}"#,
        r#"{"sub_id": {"email": "ann@example.com"}}"#,
        r#"{"sub_id": {"format": 7}}"#,
        &format!(r#"{{"sub_id": {{"format": "{}"}}}}"#, "x".repeat(20_000)),
    ] {
        assert_eq!(revoke(&world, Some("idp"), body).await.status, 400, "{body}");
    }
    let form = Request::post("/global-token-revocation").header("content-type", "text/plain");
    let form = form.header("authorization", "Bearer idp").body(Body::from(email("ann"))).unwrap();
    assert_eq!(send(&app(&world), form).await.status, 400);
    for caller in [None, Some("stranger")] {
        let answer = revoke(&world, caller, &email("ann")).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    }
    assert_eq!(revoke(&world, Some("idp"), &email("root")).await.status, 403);
    assert_eq!(revoke(&world, Some("idp"), &email("unknown")).await.status, 404);
    let broken = revoke(&world, Some("idp"), &email("broken")).await;
    assert_eq!((broken.status, broken.header("retry-after")), (503, Some("1")));
    assert_eq!(world.count(&EventKind::InternalError { operation: "signals" }), 1);
    let get = Request::get("/global-token-revocation").body(Body::empty()).unwrap();
    assert_eq!(send(&app(&world), get).await.status, 405);
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn global_revocation_in_an_outage_gets_503_and_can_be_tried_again() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.store.trouble("revoke", Trouble::Fail);
    assert_eq!(revoke(&world, Some("idp"), &email("ann")).await.status, 503);
    world.store.recover();
    assert_eq!(revoke(&world, Some("idp"), &email("ann")).await.status, 204);
    assert_eq!(client.get(&world, "/me").await.status, 401);
}

/// A token, with changes to its header and its claims.
struct Event {
    header: Header,
    claims: Value,
    key: EncodingKey,
}

impl Event {
    fn new() -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        (header.typ, header.kid) = (Some("secevent+jwt".into()), Some("idp-1".into()));
        let claims = json!({
            "iss": IDP, "aud": US, "iat": NOW + 10, "jti": "756E69717565", "txn": "8675309",
            "sub_id": { "format": "iss_sub", "iss": IDP, "sub": "ann" },
            "events": { REVOKED: { "event_timestamp": NOW + 10, "initiating_entity": "policy" } },
        });
        Self { header, claims, key: EncodingKey::from_ed_pem(ED25519_V1.as_bytes()).unwrap() }
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.claims[member] = value;
        self
    }

    fn token(&self) -> String {
        jsonwebtoken::encode(&self.header, &self.claims, &self.key).unwrap()
    }
}

async fn push(world: &World, token: impl Into<String>) -> Answer {
    let request = Request::post("/security-events").header("content-type", "application/secevent+jwt");
    send(&app(world), request.body(Body::from(token.into())).unwrap()).await
}

fn is_refused(answer: &Answer, code: &str) -> bool {
    assert_eq!((answer.status, answer.json["err"].as_str()), (400, Some(code)), "{answer:?}");
    assert!(answer.json["description"].is_string() && answer.header("content-language") == Some("en"));
    true
}

#[tokio::test]
async fn session_revoked_ends_the_sessions_that_began_before_it_also_when_it_comes_twice() {
    let at = |time: u64| json!({ REVOKED: { "event_timestamp": time } });
    for claims in [
        Event::new(),
        // In milliseconds, as some transmitters write it, and in the future.
        Event::new().with("events", at((NOW + 10) * 1000)),
        Event::new().with("events", at(NOW + 3600)),
        Event::new().with("events", json!({ REVOKED: {} })),
        Event::new().with("aud", json!(["https://elsewhere.example", US])),
        Event::new()
            .with("sub_id", json!({ "format": "complex", "user": { "format": "email", "email": "ann" } })),
        Event::new()
            .with("sub_id", Value::Null)
            .with("events", json!({ REVOKED: { "subject": { "format": "email", "email": "ann" } } })),
    ] {
        let world = World::new();
        let (before, other) = (world.signed_in("ann").await, world.signed_in("bob").await);
        world.pass(10);
        let answer = push(&world, claims.token()).await;
        assert_eq!((answer.status, answer.json), (202, Value::Null));
        assert_eq!(before.get(&world, "/me").await.status, 401);
        assert!(before.exchange(&world).await.is_error(400, "invalid_grant"));
        world.pass(60);
        let after = world.signed_in("ann").await;
        assert_eq!(push(&world, claims.token()).await.status, 202);
        assert_eq!(after.get(&world, "/me").await.status, 200, "a replayed event ends no later session");
        assert_eq!(other.get(&world, "/me").await.status, 200);
    }
}

#[tokio::test]
async fn event_of_another_type_or_of_an_unknown_subject_is_accepted_and_changes_nothing() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(10);
    let calls = world.store.all_calls();
    let other = json!({ "https://schemas.openid.net/secevent/caep/event-type/credential-change": {} });
    for event in [
        Event::new().with("events", other),
        Event::new().with("sub_id", json!({ "format": "email", "email": "unknown@example.com" })),
        Event::new().with("sub_id", json!({ "format": "opaque", "id": "ann" })),
    ] {
        assert_eq!(push(&world, event.token()).await.status, 202);
    }
    assert_eq!(world.store.all_calls(), calls);
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn token_that_is_not_an_event_for_us_is_refused_with_the_code_of_rfc_8935() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(10);
    let calls = world.store.all_calls();
    let good = Event::new().token();
    let header = |change: fn(&mut Header)| {
        let mut event = Event::new();
        change(&mut event.header);
        event.token()
    };
    let elsewhere = json!("https://elsewhere.example");
    let day = 86_400;
    for (code, token) in [
        ("invalid_request", String::new()),
        ("invalid_request", "a.b.c".to_owned()),
        ("invalid_request", format!("{good}.")),
        ("invalid_request", good[..40].to_owned()),
        ("invalid_request", "x".repeat(20_000)),
        ("invalid_request", header(|header| header.typ = Some("JWT".into()))),
        ("invalid_request", header(|header| header.typ = None)),
        ("invalid_request", header(|header| header.kid = None)),
        ("invalid_request", Event::new().with("jti", json!("")).token()),
        ("invalid_request", Event::new().with("jti", json!(7)).token()),
        ("invalid_request", Event::new().with("events", json!([])).token()),
        ("invalid_request", Event::new().with("iat", json!(NOW + 60)).token()),
        ("invalid_request", Event::new().with("iat", json!(NOW - day)).token()),
        ("invalid_request", Event::new().with("iat", Value::Null).token()),
        ("invalid_request", Event::new().with("sub_id", json!("ann")).token()),
        ("invalid_request", Event::new().with("sub_id", Value::Null).token()),
        ("invalid_issuer", Event::new().with("iss", elsewhere.clone()).token()),
        ("invalid_audience", Event::new().with("aud", elsewhere.clone()).token()),
        ("invalid_audience", Event::new().with("aud", json!([])).token()),
        ("invalid_key", header(|header| header.kid = Some("unknown".into()))),
        ("authentication_failed", format!("{}AAAA", &good[..good.len() - 4])),
    ] {
        assert!(is_refused(&push(&world, token).await, code));
    }
    // Another key of the same name, another algorithm, and the public key as a secret.
    let mut event = Event::new();
    event.key = EncodingKey::from_ec_pem(P256.as_bytes()).unwrap();
    event.header.alg = Algorithm::ES256;
    assert!(is_refused(&push(&world, event.token()).await, "invalid_key"));
    event.key = EncodingKey::from_secret(ED25519_PUBLIC.as_bytes());
    event.header.alg = Algorithm::HS256;
    assert!(is_refused(&push(&world, event.token()).await, "invalid_key"));
    let json = Request::post("/security-events").header("content-type", "application/json");
    let answer = send(&app(&world), json.body(Body::from(good)).unwrap()).await;
    assert!(is_refused(&answer, "invalid_request"));
    assert_eq!(world.store.all_calls(), calls, "the store was not asked");
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn transmitter_changes_its_keys_and_an_outage_asks_it_to_try_again() {
    let store = Probe::new(MemoryStore::new().unwrap());
    let world = World::around(store, |builder| builder);
    let client = world.signed_in("ann").await;
    world.pass(10);
    let transmitter = Transmitter::new(IDP, US, [key()]);
    assert_eq!(
        format!("{transmitter:?}"),
        r#"Transmitter { issuer: "https://idp.example", audience: "https://shop.example", .. }"#
    );
    let app: Router = Signals::new(&world.sessions, resolve).receive_from(transmitter.clone()).router();
    let push = async |event: &Event| {
        let request = Request::post("/security-events").header("content-type", "application/secevent+jwt");
        send(&app, request.body(Body::from(event.token())).unwrap()).await
    };
    transmitter.set_keys([PublicKey::from_pem(P256_PUBLIC).unwrap().with_kid("idp-2").unwrap()]);
    assert!(is_refused(&push(&Event::new()).await, "invalid_key"));
    let mut event = Event::new();
    event.key = EncodingKey::from_ec_pem(P256.as_bytes()).unwrap();
    (event.header.alg, event.header.kid) = (Algorithm::ES256, Some("idp-2".into()));
    world.store.trouble("revoke", Trouble::Fail);
    let answer = push(&event).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    world.store.recover();
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(push(&event).await.status, 202);
    assert!(client.exchange(&world).await.is_error(400, "invalid_grant"));
    let revocation = Request::post("/global-token-revocation").body(Body::empty()).unwrap();
    assert_eq!(send(&app, revocation).await.status, 404, "it is off by default");
}
