//! Bare axum, a minimal layer, and this crate.

use std::{
    convert::Infallible,
    hint::black_box,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Extension, Router, body::Body, response::Response, routing::get};
use hmac::{Hmac, KeyInit as _};
use http::{HeaderValue, Request, header};
use sha2::Sha256;
use tokio::runtime::Runtime;
use tower::Service;
use tower_sliding_sessions::{
    Clock as _, Keyring, ManualClock, Session, Sessions, SystemClock, store::MemoryStore,
};

use crate::{
    cookie::{CookieValue, Cookies, scan},
    cpu,
    parts::raw_limit,
    work::{Contender, ED25519_PRIVATE, PeerClaims, Profile, SECRET, SUBJECT, cookies, request, serving},
};

/// A minimal layer: it inserts one extension.
#[derive(Clone)]
pub struct Insert<S> {
    inner: S,
    value: Arc<Profile>,
}

impl<S> Service<Request<Body>> for Insert<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
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

/// The least that a layer does which verifies an HS256 token: it finds the cookies, verifies, and inserts the claims.
#[derive(Clone)]
pub struct Prototype<S> {
    inner: S,
    shared: Arc<(Cookies, Hmac<Sha256>)>,
}

impl<S> Service<Request<Body>> for Prototype<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        let (cookies, key) = &*self.shared;
        let found = scan(request.headers().get_all(header::COOKIE).iter(), cookies).0;
        if let CookieValue::Value(token) = found {
            let claims = Arc::new(raw_limit(key, token));
            request.extensions_mut().insert(claims);
        }
        self.inner.call(request)
    }
}

fn prototype() -> Router {
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    let shared = Arc::new((Cookies::default(), key));
    Router::new()
        .route(
            "/me",
            get(async |Extension(user): Extension<Arc<PeerClaims>>| {
                black_box(user.ext.roles.len());
                "hello"
            }),
        )
        .layer(tower::layer::layer_fn(move |inner| Prototype { inner, shared: shared.clone() }))
}

pub fn bare() -> Router {
    Router::new().route("/me", get(async || black_box("hello")))
}

pub fn insert_only() -> Router {
    let value = Arc::new(Profile::new());
    Router::new()
        .route(
            "/me",
            get(async |Extension(user): Extension<Arc<Profile>>| {
                black_box(user.roles.len());
                "hello"
            }),
        )
        .layer(tower::layer::layer_fn(move |inner| Insert { inner, value: value.clone() }))
}

pub fn app(sessions: &Sessions<Profile>) -> Router {
    Router::new()
        .route(
            "/me",
            get(async |session: Session<Profile>| {
                black_box(session.claims().roles.len());
                "hello"
            }),
        )
        .layer(sessions.layer())
}

pub fn hs256() -> Keyring {
    Keyring::hs256(SECRET).expect("a valid secret")
}

pub fn ed25519() -> Keyring {
    Keyring::ed25519_pem(ED25519_PRIVATE).expect("a key")
}

/// Sessions whose access tokens outlast any run, with or without a cache of verified tokens.
pub fn sessions(keys: Keyring, verified: usize) -> Sessions<Profile> {
    let builder = Sessions::builder(keys).verified_cache(verified);
    builder.timing(|timing| timing.access_ttl(Duration::from_secs(3600))).build().expect("valid settings")
}

pub async fn cookie_of(sessions: &Sessions<Profile>, subject: &str) -> String {
    let cookies = sessions.cookie_of(subject, Profile::new()).await.expect("signed in");
    cookies.to_str().expect("ASCII").to_owned()
}

/// Renewals that advance: each of another session, confirmed long enough ago, by a request that carries
/// its expired access token and its refresh token.
fn renewing(name: &'static str, runtime: &Rc<Runtime>, keys: fn() -> Keyring, verified: usize) -> Contender {
    const TIMES: u32 = 500;
    let runtime = runtime.clone();
    let round = move || {
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::new(SystemClock.now()));
            let store = MemoryStore::new().expect("random bytes");
            let builder = Sessions::<Profile>::builder(keys()).clock(clock.clone()).store(store);
            let builder = builder.verified_cache(verified);
            let sessions = builder.build().expect("valid settings");
            let mut headers: Vec<HeaderValue> = Vec::new();
            for number in 0..TIMES {
                let subject = format!("{number:08}{}", &SUBJECT[8..]);
                headers.push(cookies(&cookie_of(&sessions, &subject).await));
            }
            clock.advance(Duration::from_secs(6 * 60));
            let mut app = app(&sessions);
            tokio::task::yield_now().await;
            let start = cpu::now();
            for cookies in &headers {
                let response = app.call(request::<Body>(cookies)).await.expect("infallible");
                assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
                black_box(&response);
            }
            let taken = (cpu::now() - start) / f64::from(TIMES);
            sessions.shutdown().await;
            taken
        })
    };
    Contender { name, round: Box::new(round) }
}

pub fn all(runtime: &Rc<Runtime>) -> Vec<Contender> {
    let mut all = vec![
        serving::<_, Body, _>("bare axum", runtime, bare(), "__Host-access=x"),
        serving::<_, Body, _>("insert-only layer", runtime, insert_only(), "__Host-access=x"),
        // A server builds the services of a router once, and not for each request.
        serving::<_, Body, _>("bare axum, as served", runtime, bare().with_state(()), "__Host-access=x"),
        serving::<_, Body, _>(
            "insert-only layer, as served",
            runtime,
            insert_only().with_state(()),
            "__Host-access=x",
        ),
    ];
    type Kind = (&'static str, fn() -> Keyring, usize);
    let kinds: [Kind; 4] = [
        ("this crate, HS256, warm", hs256, 8192),
        ("this crate, Ed25519, warm", ed25519, 8192),
        ("this crate, HS256, cold", hs256, 0),
        ("this crate, Ed25519, cold", ed25519, 0),
    ];
    for (name, keys, verified) in kinds {
        let _within = runtime.enter();
        let sessions = sessions(keys(), verified);
        let ours = runtime.block_on(cookie_of(&sessions, SUBJECT));
        all.push(serving::<_, Body, _>(name, runtime, app(&sessions), &ours));
        if name == "this crate, HS256, warm" {
            let app = app(&sessions).with_state(());
            all.push(serving::<_, Body, _>("this crate, HS256, warm, as served", runtime, app, &ours));
            all.push(serving::<_, Body, _>("prototype, HS256, cold", runtime, prototype(), &ours));
        }
    }
    all
}

pub fn renewals(runtime: &Rc<Runtime>) -> Vec<Contender> {
    vec![
        renewing("this crate, HS256, renewal", runtime, hs256, 8192),
        renewing("this crate, HS256, renewal, cold token cache", runtime, hs256, 0),
        renewing("this crate, Ed25519, renewal", runtime, ed25519, 8192),
    ]
}
