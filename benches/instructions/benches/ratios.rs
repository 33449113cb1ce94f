//! Ratios of times, each measured in short interleaved rounds: a warm request beside a layer that only inserts an
//! extension, on two threads beside one, and with a million revocations beside none. Needs two cores that do nothing
//! else: `cargo bench --bench ratios`.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    body::Body,
    http::{HeaderValue, Request, Uri, header},
    response::Response,
    routing::get,
};
use tokio::runtime::Runtime;
use tower::Service;
use tower_sliding_sessions::{Keyring, Session, Sessions};

const SECRET: &[u8] = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
const ROUNDS: usize = 101;
const REQUESTS: u32 = 5_000;

type Profile = Vec<String>;

fn profile() -> Profile {
    vec!["reader".to_owned(), "writer".to_owned()]
}

/// A router, and the headers of its requests.
#[derive(Clone)]
struct App {
    router: Router,
    cookies: HeaderValue,
}

impl App {
    fn serve(&mut self) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from_static("/me");
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("app.example"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64)"));
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        headers.insert("sec-fetch-mode", HeaderValue::from_static("cors"));
        headers.insert("sec-fetch-dest", HeaderValue::from_static("empty"));
        headers.insert(header::COOKIE, self.cookies.clone());
        let mut response = pin!(self.router.call(request));
        // A warm request waits for nothing.
        match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert_eq!(black_box(response).status(), 200),
            Poll::Pending => panic!("the request had to wait"),
        }
    }

    /// The seconds of a round.
    fn round(&mut self) -> f64 {
        let start = Instant::now();
        (0..REQUESTS).for_each(|_| self.serve());
        start.elapsed().as_secs_f64()
    }
}

#[derive(Clone)]
struct Insert<S> {
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

fn sessions() -> Sessions<Profile> {
    let builder = Sessions::builder(Keyring::hs256(SECRET).expect("a valid secret"));
    builder.timing(|timing| timing.access_ttl(Duration::from_secs(3600))).build().expect("valid settings")
}

/// The application of a session, after its first requests.
fn warm(runtime: &Runtime, sessions: &Sessions<Profile>, subject: &str) -> App {
    let ours = runtime.block_on(sessions.cookie_of(subject, profile())).expect("signed in");
    let ours = ours.to_str().expect("ASCII");
    let cookies = format!("theme=dark; {ours}; consent=all; locale=en-GB").parse().expect("a header value");
    let me = get(async |session: Session<Profile>| {
        black_box(session.claims().len());
        "hello"
    });
    let router = Router::new().route("/me", me).layer(sessions.layer()).with_state(());
    let mut app = App { router, cookies };
    let _within = runtime.enter();
    // The first request starts the feed follower.
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/me");
    drop(runtime.block_on(app.router.call(request)));
    thread::sleep(Duration::from_millis(100));
    (0..10).for_each(|_| app.serve());
    app
}

fn insert_only(cookies: HeaderValue) -> App {
    let value = Arc::new(profile());
    let me = get(async |Extension(user): Extension<Arc<Profile>>| {
        black_box(user.len());
        "hello"
    });
    let layer = tower::layer::layer_fn(move |inner| Insert { inner, value: value.clone() });
    App { router: Router::new().route("/me", me).layer(layer).with_state(()), cookies }
}

fn bare(cookies: HeaderValue) -> App {
    let me = get(async || black_box("hello"));
    App { router: Router::new().route("/me", me).with_state(()), cookies }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of `above / below`, of pairs of rounds.
fn ratio(mut above: impl FnMut() -> f64, mut below: impl FnMut() -> f64) -> f64 {
    median((0..ROUNDS).map(|_| above() / below()).collect())
}

/// The seconds that each application takes for its requests, all at once on threads of their own.
fn together(apps: &mut [App]) -> f64 {
    let barrier = Barrier::new(apps.len());
    let rounds = thread::scope(|scope| {
        let round = |app: &mut App| {
            barrier.wait();
            app.round()
        };
        let threads: Vec<_> = apps.iter_mut().map(|app| scope.spawn(move || round(app))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    rounds.into_iter().fold(0.0, f64::max)
}

/// How many times the requests of one thread two threads serve.
fn speedup(name: &str, first: &App, second: &App) {
    let (mut one, mut two) = ([first.clone()], [first.clone(), second.clone()]);
    let times = ratio(|| 2.0 * together(&mut one), || together(&mut two));
    println!("two threads / one, {name}: {times:.2}");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let empty = sessions();
    let mut ann = warm(&runtime, &empty, "ann");
    let bob = warm(&runtime, &empty, "bob");
    let (mut insert, mut bare) = (insert_only(ann.cookies.clone()), bare(ann.cookies.clone()));
    println!("insert-only layer / bare axum: {:.3}", ratio(|| insert.round(), || bare.round()));
    println!("warm request / insert-only layer: {:.3}", ratio(|| ann.round(), || insert.round()));
    speedup("bare axum", &bare, &bare);
    speedup("insert-only layer", &insert, &insert);
    speedup("one session for both", &ann, &ann);
    speedup("one session each", &ann, &bob);

    let full = sessions();
    runtime.block_on(async {
        for number in 0..1_000_000 {
            let subject = (number / 100).to_string();
            drop(full.cookie_of(&subject, Profile::new()).await.expect("signed in"));
            if number % 100 == 99 {
                full.revoke_all(&subject).await.expect("revoked");
            }
        }
    });
    let mut revoked = warm(&runtime, &full, "ann");
    println!("a million revocations / none: {:.3}", ratio(|| revoked.round(), || ann.round()));
}
