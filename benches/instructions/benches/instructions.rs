//! Instructions, counted by Valgrind: the same on every machine of a kind, at any load. The counts must
//! not regress.
//!
//! ```sh
//! apt-get install valgrind && cargo install gungraun-runner --version 0.20.0
//! cargo bench
//! ```

// The crate's own files, compiled here again, to count private parts separately.
#[path = "../../../src/id.rs"]
#[expect(dead_code, reason = "only a part of it is measured")]
mod id;
#[path = "../../../src/protocol/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only a part of it is measured")]
mod protocol;
#[path = "../../../src/time.rs"]
#[expect(dead_code, reason = "only a part of it is measured")]
mod time;
#[path = "../../../src/token/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only a part of it is measured")]
mod token;

use std::{
    hint::black_box,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    http::{HeaderValue, Request, Uri, header},
    routing::get,
};
use gungraun::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;
use tower_sliding_sessions::{Clock as _, ManualClock, Session, Sessions, SystemClock};

use self::token::{AccessToken, StepUp, TokenCodec};

const SECRET: &[u8] = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
const SUBJECT: &str = "7f6c1f0e-3b7a-4c57-9a35-0d6f6f5d2f10";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Profile {
    roles: Vec<String>,
}

fn profile() -> Profile {
    Profile { roles: vec!["reader".to_owned(), "writer".to_owned()] }
}

/// Everything that a request needs.
struct World {
    runtime: Runtime,
    clock: Arc<ManualClock>,
    router: Router,
    cookies: Vec<HeaderValue>,
}

impl World {
    /// The denylist has an entry for each of `revoked` sessions.
    fn new(verified: usize, revoked: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let keys = tower_sliding_sessions::Keyring::hs256(SECRET).expect("a valid secret");
        let builder = Sessions::builder(keys).clock(clock.clone()).verified_cache(verified);
        let sessions = builder.build().expect("valid settings");
        let me = get(async |session: Session<Profile>| {
            black_box(session.claims().roles.len());
            "hello"
        });
        let (router, cookies) = runtime.block_on(async {
            for number in 0..revoked {
                let subject = (number / 100).to_string();
                drop(sessions.cookie_of(&subject, profile()).await.expect("signed in"));
                if number % 100 == 99 {
                    sessions.revoke_all(&subject).await.expect("revoked");
                }
            }
            let mut cookies = Vec::new();
            for _ in 0..2 {
                let ours = sessions.cookie_of(SUBJECT, profile()).await.expect("signed in");
                let ours = ours.to_str().expect("ASCII");
                let all = format!("theme=dark; {ours}; consent=all; locale=en-GB");
                cookies.push(all.parse().expect("a header value"));
            }
            (Router::new().route("/me", me).layer(sessions.layer()), cookies)
        });
        Self { runtime, clock, router, cookies }
    }

    fn request(&self, which: usize) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from_static("/me");
        request.headers_mut().insert(header::COOKIE, self.cookies[which].clone());
        request
    }

    fn serve(&mut self, request: Request<Body>, cookies: usize) {
        let response = self.runtime.block_on(self.router.call(request)).expect("infallible");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), cookies);
    }
}

fn warm(verified: usize) -> (World, Request<Body>) {
    warm_beside(verified, 0)
}

fn warm_beside(verified: usize, revoked: usize) -> (World, Request<Body>) {
    let mut world = World::new(verified, revoked);
    for _ in 0..3 {
        world.serve(world.request(0), 0);
        // The first request starts the feed follower. Until it has read the feed, each request asks the store.
        world.runtime.block_on(async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
    }
    let request = world.request(0);
    (world, request)
}

/// Another session was renewed before.
fn expired() -> (World, Request<Body>) {
    let mut world = World::new(8192, 0);
    world.clock.advance(Duration::from_secs(6 * 60));
    world.serve(world.request(0), 2);
    let request = world.request(1);
    (world, request)
}

// The world is returned, so that its drop is not measured.
#[library_benchmark]
#[bench::hs256(warm(8192))]
// A million would take Valgrind an hour: see `ratios`.
#[bench::two_thousand_revocations(warm_beside(8192, 2_000))]
fn warm_request(input: (World, Request<Body>)) -> World {
    let (mut world, request) = input;
    world.serve(request, 0);
    world
}

#[library_benchmark]
#[bench::hs256(warm(0))]
fn cold_request(input: (World, Request<Body>)) -> World {
    let (mut world, request) = input;
    world.serve(request, 0);
    world
}

#[library_benchmark]
#[bench::that_advances(expired())]
fn renewal(input: (World, Request<Body>)) -> World {
    let (mut world, request) = input;
    world.serve(request, 2);
    world
}

fn minter() -> (TokenCodec, String) {
    let ring = token::Keyring::hs256(SECRET).expect("a valid secret");
    let claims = serde_json::to_string(&profile()).expect("JSON");
    (TokenCodec::new(ring, "sessions".into(), Duration::from_secs(3660)), claims)
}

fn minted(tokens: &TokenCodec, claims: &str) -> String {
    let now = time::Timestamp::from_secs(1_800_000_000);
    let token = AccessToken {
        subject: &SUBJECT.into(),
        session: id::SessionId::from_bytes([7; 32]),
        generation: 3,
        run: id::RunId::from_u64(77).expect("not zero"),
        issued: now,
        expires: now + Duration::from_secs(3600),
        auth_time: now,
        methods: &[],
        step_up: &StepUp::None,
        device: None,
        claims,
    };
    tokens.mint_access(&token).expect("a token")
}

fn verifier() -> (TokenCodec, String) {
    let (tokens, claims) = minter();
    let token = minted(&tokens, &claims);
    // Builds once what is built once.
    drop(tokens.verify_access::<Profile>(token.as_bytes()));
    (tokens, token)
}

#[library_benchmark]
#[bench::hs256(minter())]
fn mint(input: (TokenCodec, String)) -> String {
    minted(&input.0, black_box(&input.1))
}

#[library_benchmark]
#[bench::hs256(verifier())]
fn verify(input: (TokenCodec, String)) -> Arc<Profile> {
    input.0.verify_access::<Profile>(black_box(input.1.as_bytes())).expect("good").claims
}

/// The cost of axum itself, and with a layer that only inserts an extension.
fn other(layered: bool) -> (World, Request<Body>) {
    let mut world = World::new(0, 0);
    let value = Arc::new(profile());
    let router = Router::new();
    world.router = match layered {
        false => router.route("/me", get(async || "hello")),
        true => router
            .route(
                "/me",
                get(async |Extension(user): Extension<Arc<Profile>>| {
                    black_box(user.roles.len());
                    "hello"
                }),
            )
            .layer(tower::layer::layer_fn(move |inner| Insert { inner, value: value.clone() })),
    };
    world.serve(world.request(0), 0);
    let request = world.request(0);
    (world, request)
}

#[derive(Clone)]
struct Insert<S> {
    inner: S,
    value: Arc<Profile>,
}

impl<S: tower::Service<Request<Body>>> tower::Service<Request<Body>> for Insert<S> {
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

#[library_benchmark]
#[bench::bare(other(false))]
#[bench::insert_only(other(true))]
fn bare_axum(input: (World, Request<Body>)) -> World {
    let (mut world, request) = input;
    world.serve(request, 0);
    world
}

library_benchmark_group!(
    name = costs,
    benchmarks = [bare_axum, warm_request, cold_request, renewal, mint, verify]
);
main!(library_benchmark_groups = costs);
