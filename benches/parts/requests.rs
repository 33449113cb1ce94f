//! Requests through the layer.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Request, Uri, header},
    routing::get,
};
use divan::{Bencher, black_box};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;
use tower_sliding_sessions::{Clock as _, Keyring, ManualClock, Session, Sessions, SystemClock};

use super::tokens::{SECRET, SUBJECT};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) roles: Vec<String>,
}

impl Profile {
    pub(crate) fn new() -> Self {
        Self { roles: vec!["reader".to_owned(), "writer".to_owned()] }
    }
}

pub(crate) fn cookies(ours: &str) -> HeaderValue {
    format!("theme=dark; {ours}; consent=all; locale=en-GB").parse().expect("a header value")
}

fn request(cookies: &HeaderValue) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/me");
    request.headers_mut().insert(header::COOKIE, cookies.clone());
    request
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn serve(bencher: Bencher<'_, '_>, router: Router, ours: &str) {
    serve_on(bencher, &runtime(), router, ours);
}

fn serve_on(bencher: Bencher<'_, '_>, runtime: &Runtime, mut router: Router, ours: &str) {
    let cookies = cookies(ours);
    bencher.bench_local(|| {
        let response = runtime.block_on(router.call(request(&cookies))).expect("infallible");
        assert_eq!(response.status(), 200);
        response
    });
}

fn app(sessions: &Sessions<Profile>) -> Router {
    let me = get(async |session: Session<Profile>| {
        black_box(session.claims().roles.len());
        "hello"
    });
    Router::new().route("/me", me).layer(sessions.layer())
}

/// The cookies that a browser sends after a sign-in.
async fn signed_in(sessions: &Sessions<Profile>) -> String {
    let anonymous = sessions.visitor(&Request::new(())).expect("a visitor");
    let mut headers = HeaderMap::new();
    anonymous.sign_in(SUBJECT, Profile::new()).await.expect("signed in").apply(&mut headers);
    let lines = headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().expect("ASCII"));
    lines.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}

fn active(bencher: Bencher<'_, '_>, keys: Keyring, verified: usize) {
    let runtime = runtime();
    let builder = Sessions::builder(keys).verified_cache(verified);
    let sessions = builder
        .timing(|timing| timing.access_ttl(Duration::from_secs(3600)))
        .build()
        .expect("valid settings");
    let ours = runtime.block_on(signed_in(&sessions));
    let mut router = app(&sessions);
    runtime.block_on(async {
        // The first request starts the feed follower. Until it has read the feed, each request asks the
        // store.
        drop(router.call(request(&cookies(&ours))).await);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    serve_on(bencher, &runtime, router, &ours);
}

fn hs256() -> Keyring {
    Keyring::hs256(SECRET).expect("a valid secret")
}

#[divan::bench]
fn warm_request_hs256(bencher: Bencher<'_, '_>) {
    active(bencher, hs256(), 8192);
}

#[divan::bench]
fn cold_request_hs256(bencher: Bencher<'_, '_>) {
    active(bencher, hs256(), 0);
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[divan::bench]
fn warm_request_ed25519(bencher: Bencher<'_, '_>) {
    active(bencher, Keyring::ed25519_pem(super::tokens::ED25519).expect("a key"), 8192);
}

/// Each of another session, which was confirmed long enough ago.
#[divan::bench(sample_count = 50, sample_size = 20)]
fn renewal_that_advances(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let builder = Sessions::builder(hs256()).clock(clock.clone());
    let sessions = builder.build().expect("valid settings");
    let router = app(&sessions);
    let expired = || {
        // All begin some time before the first renewal.
        clock.set(SystemClock.now());
        let cookies = cookies(&runtime.block_on(signed_in(&sessions)));
        clock.advance(Duration::from_secs(6 * 60));
        (router.clone(), request(&cookies))
    };
    bencher.with_inputs(expired).bench_local_values(|(mut router, request)| {
        let response = runtime.block_on(router.call(request)).expect("infallible");
        assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), 2);
        response
    });
}
