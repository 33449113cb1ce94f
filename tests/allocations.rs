//! The cost of a request with a valid access token: few allocations, and no store call.
//!
//! `cargo test --test allocations -- --nocapture` prints the figures: every allocation of one `GET`
//! through an axum router, including the construction of the request, which carries three other cookies
//! next to ours.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

#[path = "input/store.rs"]
#[expect(dead_code, reason = "not all of it is wanted here")]
mod store;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[path = "input/vectors.rs"]
#[expect(dead_code, reason = "not all of them are wanted here")]
mod vectors;

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
    response::Response,
    routing::get,
};
use serde::{Deserialize, Serialize};
use tower::{Service, ServiceExt as _};
use tower_sliding_sessions::{Keyring, ManualClock, Session, Sessions, Timestamp};

use self::store::Counted;

const SUBJECT: &str = "7f6c1f0e-3b7a-4c57-9a35-0d6f6f5d2f10";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Profile {
    roles: Vec<String>,
}

/// A minimal layer: it inserts one extension.
#[derive(Clone)]
struct Insert<S> {
    inner: S,
    value: Arc<Profile>,
}

impl<S: Service<Request<Body>, Response = Response, Error = Infallible>> Service<Request<Body>>
    for Insert<S>
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        request.extensions_mut().insert(self.value.clone());
        self.inner.call(request)
    }
}

/// The number of allocations of one request, which must be served without waiting.
fn allocations(router: &Router, cookies: &str) -> u64 {
    let mut status = None;
    let counted = allocation_counter::measure(|| {
        let request = Request::builder().uri("/me").header(header::HOST, "app.example");
        let request = request.header(header::COOKIE, cookies).body(Body::empty()).expect("a request");
        let mut answer = pin!(router.clone().oneshot(request));
        let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the request had to wait")
        };
        status = Some(response.status());
    });
    assert_eq!(status, Some(StatusCode::OK));
    counted.count_total
}

async fn signed_in(sessions: &Sessions<Profile>, profile: &Profile) -> String {
    let anonymous = sessions.visitor(&Request::new(())).expect("a visitor");
    let mut headers = HeaderMap::new();
    anonymous.sign_in(SUBJECT, profile.clone()).await.expect("signed in").apply(&mut headers);
    format!("theme=dark; {}; consent=all; locale=en-GB", cookie_header(&headers))
}

/// The `Cookie` header of a browser that got this response.
fn cookie_header(headers: &HeaderMap) -> String {
    let lines = headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().expect("ASCII"));
    let pairs: Vec<_> = lines.filter_map(|line| line.split(';').next()).collect();
    pairs.join("; ")
}

async fn within_bounds(what: &str, keys: Keyring, encrypted: bool) {
    let store = Counted::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let builder = Sessions::builder(keys).store(store.clone()).clock(clock);
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    let builder = if encrypted { builder.cookies(|cookies| cookies.encrypted()) } else { builder };
    assert!(!encrypted || cfg!(any(feature = "aws_lc_rs", feature = "rust_crypto")));
    let sessions = builder.build().expect("valid settings");
    let profile = Profile { roles: vec!["reader".to_owned(), "writer".to_owned()] };
    let cookies: Vec<_> = [signed_in(&sessions, &profile).await, signed_in(&sessions, &profile).await].into();
    let [first, second] = &cookies[..] else { panic!("two") };

    let bare = Router::new().route("/me", get(async || "hello"));
    let value = Arc::new(profile);
    let insert = tower::layer::layer_fn(move |inner| Insert { inner, value: value.clone() });
    let insert_only = Router::new()
        .route("/me", get(async |axum::Extension(found): axum::Extension<Arc<Profile>>| drop(found)))
        .layer(insert);
    let ours = Router::new()
        .route("/me", get(async |session: Session<Profile>| assert_eq!(session.subject(), SUBJECT)))
        .layer(sessions.layer());

    // Warm-up: what is allocated once per process, and the feed follower that the first request starts.
    for router in [&bare, &insert_only, &ours] {
        allocations(router, first);
    }
    tokio::task::yield_now().await;
    let calls = store.calls();
    let bare = allocations(&bare, first);
    let insert_only = allocations(&insert_only, first);
    // The second request makes this thread's own copy of the token.
    let [cold, copying, warm] = [(); 3].map(|()| allocations(&ours, second));
    assert_eq!(warm, allocations(&ours, second), "the fourth request costs as much as the third");
    assert!(copying <= warm + 2, "copying: {copying}, warm: {warm}");
    println!("{what}: bare axum {bare}, insert-only layer {insert_only}, warm {warm}, cold {cold}");
    assert!(warm <= 24, "warm: {warm}");
    assert!(warm <= insert_only + 3, "warm: {warm}, insert-only: {insert_only}");
    assert!(cold <= warm + 16, "cold: {cold}, warm: {warm}");
    assert_eq!(store.calls(), calls, "the store was asked");
}

#[tokio::test]
async fn request_with_a_valid_access_token_allocates_little_and_makes_no_store_call() {
    let secret = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
    within_bounds("HS256", Keyring::hs256(secret).expect("a valid secret"), false).await;
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[tokio::test]
async fn request_with_a_valid_encrypted_cookie_allocates_little_and_makes_no_store_call() {
    let secret = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
    within_bounds("HS256, encrypted", Keyring::hs256(secret).expect("a valid secret"), true).await;
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[tokio::test]
async fn request_with_an_asymmetric_key_allocates_little_and_makes_no_store_call() {
    within_bounds("Ed25519", Keyring::ed25519_pem(vectors::ED25519_V1).expect("a key"), false).await;
    within_bounds("ES256", Keyring::es256_pem(vectors::P256).expect("a key"), false).await;
}

/// Counted in bytes: each `async fn` stores what it is given twice. So nested ones make an allocation larger, and not
/// another one. The task that writes a confirmation once had 16,000 bytes.
#[test]
fn renewal_and_the_write_of_its_confirmation_allocate_few_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = Counted::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let keys = Keyring::hs256(b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo").expect("a valid secret");
    let sessions =
        Sessions::builder(keys).store(store.clone()).clock(clock.clone()).build().expect("settings");
    let router = Router::new().route("/me", get(async |_: Session<Profile>| "hello")).layer(sessions.layer());
    let send = |cookies: &str| {
        let mut set = HeaderMap::new();
        let counted = allocation_counter::measure(|| {
            let request = Request::builder().uri("/me").header(header::COOKIE, cookies);
            let request = request.body(Body::empty()).expect("a request");
            let response = runtime.block_on(async {
                let response = router.clone().oneshot(request).await.expect("infallible");
                // Writes in the background run now.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                response
            });
            assert_eq!(response.status(), StatusCode::OK);
            set.clone_from(response.headers());
        });
        (cookie_header(&set), counted.bytes_total, store.calls())
    };
    let profile = Profile { roles: vec!["reader".to_owned()] };
    let first = runtime.block_on(signed_in(&sessions, &profile));
    let second = runtime.block_on(signed_in(&sessions, &profile));
    clock.advance(Duration::from_secs(6 * 60));
    // The first renewal starts what runs once per process.
    send(&first);
    let (renewed, renewal, calls) = send(&second);
    // The default confirmation age is 185 s.
    clock.advance(Duration::from_secs(200));
    let (_, confirmation, calls_after) = send(&renewed);
    println!("renewal {renewal} bytes, request that confirms it {confirmation} bytes");
    assert_eq!(calls_after - calls, 2, "the record is read and written");
    assert!(renewal <= 14_000, "{renewal}");
    assert!(confirmation <= 9_000, "{confirmation}");
}

#[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
#[tokio::test]
async fn warm_request_of_a_service_that_only_verifies_allocates_no_more_than_at_the_issuer() {
    use tower_sliding_sessions::{PublicKey, Verified, Verifier};

    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let keys = Keyring::ed25519_pem(vectors::ED25519_V1).expect("a key").with_kid("k").expect("a name");
    let store = Counted::new();
    let sessions =
        Sessions::builder(keys).store(store.clone()).clock(clock.clone()).build().expect("settings");
    let cookies = signed_in(&sessions, &Profile { roles: vec!["reader".to_owned()] }).await;
    let public = PublicKey::from_pem(vectors::ED25519_PUBLIC).expect("a key").with_kid("k").expect("a name");
    let verifier: Verifier<Profile> = Verifier::with_keys([public])
        .accept_cookie(|cookies| cookies)
        .follow(store.clone())
        .clock(clock)
        .build()
        .expect("valid settings");
    let issuer = Router::new()
        .route("/me", get(async |session: Session<Profile>| assert_eq!(session.subject(), SUBJECT)))
        .layer(sessions.layer().accept_bearer());
    let service = Router::new()
        .route("/me", get(async |token: Verified<Profile>| assert_eq!(token.subject(), SUBJECT)))
        .layer(verifier.layer());
    // The followers read the feed.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    for router in [&issuer, &service] {
        allocations(router, &cookies);
    }
    let calls = store.calls();
    let (at_issuer, at_service) = (allocations(&issuer, &cookies), allocations(&service, &cookies));
    println!("warm at the issuer {at_issuer}, at a service that only verifies {at_service}");
    assert!(at_service <= at_issuer, "{at_service}, {at_issuer}");
    assert_eq!(store.calls(), calls, "the store was asked");
}
