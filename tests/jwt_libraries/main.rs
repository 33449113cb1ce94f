//! Services in other languages verify our tokens, and ours verifies theirs: PyJWT, Authlib, and jose on Node.
//!
//! ```sh
//! tests/servers/oauth_client tests/servers/jose cargo test --all-features --test jwt_libraries
//! ```

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[path = "../input/vectors.rs"]
#[expect(dead_code, reason = "shared with the tests of input")]
mod vectors;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, header};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Clock as _, Keyring, ManualClock, PublicKey, Rejection, Session, Sessions, SystemClock, Verified,
    Verifier,
};

use crate::vectors::{ED25519_PUBLIC, ED25519_V1, P256, P256_PUBLIC};

const ISSUER: &str = "https://shop.example";
const BILLING: &str = "https://billing.example";

/// An application that mints tokens for other services.
struct Issuer {
    sessions: Sessions,
    app: Router,
}

impl Issuer {
    fn new(keys: Keyring, clock: impl tower_sliding_sessions::Clock) -> Self {
        let sessions = Sessions::<()>::builder(keys).issuer(ISSUER).realm("shop").clock(clock).build();
        let sessions = sessions.expect("valid settings");
        let handler = async |session: Session, head: header::HeaderMap| {
            let audience = head["x-audience"].to_str().expect("text");
            let token = session.token_for(audience).scope("invoices:read").claims(&json!({ "tenant": 7 }));
            Ok::<_, Rejection>(token.with_session_id().mint()?)
        };
        let app = Router::new().route("/token", get(handler)).route_layer(sessions.layer());
        let app = app.merge(sessions.jwks_routes());
        Self { sessions, app }
    }

    /// The cookies of a new session.
    async fn cookies(&self) -> http::HeaderValue {
        self.sessions.cookie_of("ann", ()).await.expect("a session")
    }

    async fn token_for(&self, audience: &str) -> String {
        let request = Request::get("/token").header("x-audience", audience);
        let request = request.header("cookie", self.cookies().await).body(Body::empty()).expect("a request");
        let answer = self.app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("a token")
    }

    /// The public keys, as the application serves them.
    async fn keys(&self) -> Vec<Value> {
        let request = Request::get("/.well-known/jwks.json").body(Body::empty()).expect("a request");
        let answer = self.app.clone().oneshot(request).await.expect("infallible");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let set: Value = serde_json::from_slice(&body).expect("JSON");
        set["keys"].as_array().expect("keys").clone()
    }

    /// The access token of a session, which is for this application only.
    async fn access_token(&self) -> String {
        let cookies = self.cookies().await;
        let cookies = cookies.to_str().expect("text");
        let access = cookies.split("; ").find_map(|pair| pair.strip_prefix("__Host-access="));
        access.expect("an access cookie").to_owned()
    }
}

fn header_of(token: &str) -> Value {
    let header = token.split('.').next().expect("a header");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON")
}

/// The other program's answer to what it is told.
fn run(mut program: Command, told: &Value) -> Value {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the program");
    let text = serde_json::to_vec(told).expect("JSON");
    child.stdin.take().expect("standard input").write_all(&text).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn setting(name: &str, script: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by tests/servers/{script}"))
}

/// Our tokens, accepted and refused by every library of `program`; and its tokens, accepted and refused here.
async fn both_ways(program: Command, libraries: &[&str]) {
    let ed25519 = || Keyring::ed25519_pem(ED25519_V1).expect("a key");
    let issuers = [
        ("EdDSA", Issuer::new(ed25519(), SystemClock), ED25519_PUBLIC),
        ("ES256", Issuer::new(Keyring::es256_pem(P256).expect("a key"), SystemClock), P256_PUBLIC),
    ];
    let (mut good, mut bad, mut keys) = (Map::new(), Map::new(), Vec::new());
    for (algorithm, issuer, public) in &issuers {
        let token = issuer.token_for(BILLING).await;
        let header = header_of(&token);
        assert_eq!(header["alg"], *algorithm);
        let served = issuer.keys().await;
        let key = PublicKey::from_pem(public).expect("a key");
        assert_eq!((&served[0]["kid"], &header["kid"]), (&json!(key.kid()), &json!(key.kid())));
        keys.extend(served);
        bad.insert(
            format!("{algorithm} audience"),
            issuer.token_for("https://elsewhere.example").await.into(),
        );
        bad.insert(format!("{algorithm} session"), issuer.access_token().await.into());
        bad.insert(format!("{algorithm} cut"), token[..token.len() - 4].into());
        let (head, payload) =
            (token.split('.').next().expect("a part"), token.split('.').nth(1).expect("a part"));
        bad.insert(format!("{algorithm} unsigned"), format!("{head}.{payload}.").into());
        good.insert((*algorithm).to_owned(), token.into());
    }
    let an_hour_ago = Arc::new(ManualClock::new(SystemClock.now() - Duration::from_secs(3600)));
    let expired = Issuer::new(ed25519(), an_hour_ago).token_for(BILLING).await;
    bad.insert("expired".to_owned(), expired.into());
    let names = (good.len(), bad.len());
    assert_eq!(names, (2, 9));

    let told = json!({
        "issuer": { "issuer": ISSUER, "audience": BILLING, "jwks": { "keys": keys } },
        "service": { "issuer": BILLING, "audience": ISSUER },
        "good": good, "bad": bad,
    });
    let answer = tokio::task::spawn_blocking(move || run(program, &told)).await.expect("no panic");
    for library in libraries {
        for algorithm in ["EdDSA", "ES256"] {
            let claims = &answer["accepted"][library][algorithm];
            assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("ann"), &json!("shop")), "{answer}");
            assert_eq!(claims["ext"], json!({ "tenant": 7 }));
        }
        let refused = answer["refused"][library].as_object().expect("an object");
        assert_eq!(refused.len(), names.1);
        for (name, is_refused) in refused {
            assert_eq!(is_refused, &json!(true), "{library} accepted {name}");
        }
    }
    accepts_theirs(&answer["minted"]).await;
}

/// A service that holds the public keys of their set accepts their good tokens, and refuses the others.
async fn accepts_theirs(minted: &Value) {
    let keys = PublicKey::from_jwk_set(minted["jwks"].to_string().as_bytes()).expect("a set");
    assert_eq!(keys.len(), 4);
    let verifier: Verifier =
        Verifier::with_keys(keys).issuer(BILLING).audience(ISSUER).build().expect("settings");
    let app: Router = Router::new()
        .route("/", get(async |token: Verified| token.subject().to_owned()))
        .route_layer(verifier.layer());
    let answer = async |token: &Value| {
        let bearer = format!("Bearer {}", token.as_str().expect("a token"));
        let request = Request::get("/").header("authorization", bearer).body(Body::empty());
        app.clone().oneshot(request.expect("a request")).await.expect("infallible").status()
    };
    for algorithm in ["EdDSA", "ES256", "RS256", "PS256"] {
        assert_eq!(answer(&minted["good"][algorithm]).await, 200, "{algorithm}");
    }
    let bad = minted["bad"].as_object().expect("an object");
    assert!(bad.len() >= 5);
    for (name, token) in bad {
        assert_eq!(answer(token).await, 401, "{name}");
    }
}

#[tokio::test]
async fn python_services_verify_our_tokens_and_ours_verifies_theirs() {
    let mut program = Command::new(setting("TEST_OAUTH_PYTHON", "oauth_client"));
    program.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jwt_libraries/python_service.py"));
    both_ways(program, &["PyJWT", "Authlib"]).await;
}

#[tokio::test]
async fn node_service_verifies_our_tokens_and_ours_verifies_theirs() {
    let mut program = Command::new(setting("TEST_NODE", "jose"));
    program.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jwt_libraries/node_service.mjs"));
    program.arg(setting("TEST_NODE_PACKAGES", "jose"));
    both_ways(program, &["jose"]).await;
}
