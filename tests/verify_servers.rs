//! A service that follows PostgreSQL or Redis with rights to read only. Needs servers, which `tests/run` starts.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

#[path = "input/vectors.rs"]
#[expect(dead_code, reason = "not all keys are used here")]
mod vectors;

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use http::{Request, StatusCode, header};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Clock as _, Keyring, PublicKey, Rejection, Session, SessionId, Sessions, SetCookies, SystemClock,
    Verified, Verifier, Visitor,
    store::{
        FeedEvent, PostgresStore, RedisStore, SessionStore, Subject,
        redis_client::{self as redis, Client},
        sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions},
    },
};

use self::vectors::{ED25519_PUBLIC, ED25519_V1};

fn url(of: &str) -> String {
    std::env::var(of).unwrap_or_else(|_| panic!("{of} is not set: tests/run starts a server"))
}

/// A name that no other test has.
fn new_name() -> String {
    let id = SessionId::random().expect("random bytes");
    let hex: String = id.as_bytes().iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("verify_{hex}")
}

async fn login(visitor: Visitor) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_in("ann", ()).await?)
}

async fn service_token(session: Session) -> Result<String, Rejection> {
    Ok(session.token_for("https://billing.example").with_session_id().mint()?)
}

async fn send(app: &Router, request: http::request::Builder) -> http::Response<axum::body::Body> {
    let request = request.header(header::HOST, "shop.example").body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("infallible")
}

async fn status(service: &Router, token: &str) -> StatusCode {
    send(service, Request::get("/me").header("authorization", format!("Bearer {token}"))).await.status()
}

async fn becomes(service: &Router, token: &str, wanted: StatusCode, seconds: u64) {
    let answered = async {
        while status(service, token).await != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(seconds), answered).await.is_ok(), "not {wanted}");
}

/// Signs in and out at an issuer that uses `full`, and follows `read_only`.
async fn walk(full: impl SessionStore + Clone, read_only: impl SessionStore + Clone) {
    let keys = Keyring::ed25519_pem(ED25519_V1).expect("a key").with_kid("k").expect("a name");
    let sessions: Sessions = Sessions::builder(keys)
        .issuer("https://shop.example")
        .store(full.clone())
        .build()
        .expect("valid settings");
    let issuer = Router::new()
        .route("/token", get(service_token))
        .route("/logout", post(async |session: Session| session.sign_out().await))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(sessions);
    let public = PublicKey::from_pem(ED25519_PUBLIC).expect("a key").with_kid("k").expect("a name");
    let verifier: Verifier = Verifier::with_keys([public])
        .issuer("https://shop.example")
        .audience("https://billing.example")
        .accept_session_tokens()
        .follow(read_only.clone())
        .build()
        .expect("valid settings");
    let me = get(async |token: Verified| token.subject().to_owned());
    let service = Router::new().route("/me", me).route_layer(verifier.layer());

    let answer = send(&issuer, Request::post("/login")).await;
    let line = answer.headers().get(header::SET_COOKIE).expect("a cookie").to_str().expect("ASCII");
    let cookie = line.split(';').next().expect("a pair").to_owned();
    let access = cookie.split_once('=').expect("a value").1.to_owned();
    let answer = send(&issuer, Request::get("/token").header(header::COOKIE, &cookie)).await;
    let body = axum::body::to_bytes(answer.into_body(), 4096).await.expect("a body");
    let token = String::from_utf8(body.to_vec()).expect("a token");
    becomes(&service, &access, StatusCode::OK, 10).await;
    becomes(&service, &token, StatusCode::OK, 10).await;
    // Quiet for longer than a heartbeat: the feed is read without rights to write.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(
        (status(&service, &access).await, status(&service, &token).await),
        (StatusCode::OK, StatusCode::OK)
    );

    let subject = Subject { realm: "sessions".into(), name: "ann".into() };
    let now = SystemClock.now();
    let refused = read_only.mark_stale(&FeedEvent::SubjectStale(subject, now)).await;
    assert!(refused.is_err(), "it can write");

    let out = send(&issuer, Request::post("/logout").header(header::COOKIE, &cookie)).await;
    assert_eq!(out.status(), StatusCode::OK);
    becomes(&service, &access, StatusCode::UNAUTHORIZED, 1).await;
    becomes(&service, &token, StatusCode::UNAUTHORIZED, 1).await;
    verifier.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_role_that_may_only_select_suffices() {
    let (name, server) = (new_name(), url("TEST_POSTGRES_URL"));
    let admin = PgPool::connect(&server).await.expect("the server answers");
    let run = async |sql: String| {
        let done = tower_sliding_sessions::store::sqlx::raw_sql(AssertSqlSafe(sql)).execute(&admin).await;
        done.expect("it is allowed");
    };
    run(format!("CREATE SCHEMA {name}")).await;
    let pool = |role: Option<&str>| {
        let set = format!(
            "SET search_path TO {name}; {}",
            role.map_or(String::new(), |role| format!("SET ROLE {role}"))
        );
        let options = PgPoolOptions::new().max_connections(4).after_connect(move |connection, _| {
            let set = set.clone();
            Box::pin(async move {
                tower_sliding_sessions::store::sqlx::raw_sql(AssertSqlSafe(set))
                    .execute(connection)
                    .await
                    .map(drop)
            })
        });
        options.connect_lazy(&server).expect("a URL")
    };
    let full = PostgresStore::new(pool(None));
    full.migrate().await.expect("the tables");
    run(format!("CREATE ROLE {name} NOLOGIN")).await;
    run(format!("GRANT USAGE ON SCHEMA {name} TO {name}")).await;
    for table in ["sliding_sessions", "sliding_sessions_feed", "sliding_sessions_meta"] {
        run(format!("GRANT SELECT ON {name}.{table} TO {name}")).await;
    }
    walk(full, PostgresStore::new(pool(Some(&name)))).await;
}

/// The sufficient rights, from the guide.
fn documented_rights() -> String {
    let text = include_str!("../src/guide/verifying_services.md");
    let (_, rights) = text.split_once("`ACL SETUSER verifier ").expect("the rights");
    rights.split('`').next().expect("an end").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_user_that_may_only_read_suffices() {
    let (name, server) = (new_name(), url("TEST_REDIS_URL"));
    let client = Client::open(server.clone()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server answers");
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg(&name);
    let rights = documented_rights().replace("PASSWORD", "secret").replace("~tss:", &format!("~{name}:"));
    for right in rights.split_whitespace() {
        acl.arg(right);
    }
    acl.exec_async(&mut connection).await.expect("it is allowed");
    let full = RedisStore::connect(&server).await.expect("a store").with_prefix(&name);
    let guarded = server.replace("redis://", &format!("redis://{name}:secret@"));
    let read_only = RedisStore::new(Client::open(guarded).expect("a URL")).with_prefix(&name);
    walk(full, read_only).await;
}
