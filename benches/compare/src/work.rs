//! The work of every contender: one `GET` whose handler reads the user.

use std::{
    convert::Infallible,
    hint::black_box,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderValue, Request, Response, Uri, header};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tower::Service;

use crate::cpu;

/// THROW-AWAY. They protect nothing.
pub const SECRET: &str = "u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
/// THROW-AWAY.
pub const ED25519_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ\n\
-----END PRIVATE KEY-----\n";
pub const ED25519_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEA35XAMNdi4Trkjiddgc6pvg6ws2UUiBXtPxE8Biyka7g=\n\
-----END PUBLIC KEY-----\n";

/// A UUID, which most services use as user IDs.
pub const SUBJECT: &str = "7f6c1f0e-3b7a-4c57-9a35-0d6f6f5d2f10";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    pub roles: Vec<String>,
}

impl Profile {
    pub fn new() -> Self {
        Self { roles: vec!["reader".to_owned(), "writer".to_owned()] }
    }
}

/// The claims of a peer's token: as many as in this crate's token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerClaims {
    pub aud: String,
    pub sub: String,
    pub sid: String,
    pub r#gen: u64,
    pub run: String,
    pub iat: u64,
    pub exp: u64,
    pub auth_time: u64,
    pub ext: Profile,
}

impl PeerClaims {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        Self {
            aud: "sessions".to_owned(),
            sub: SUBJECT.to_owned(),
            sid: "kq2xLQ1yXvB7tEoZ0m9cWn4rHdUjPs6aGfTi3bVeY58".to_owned(),
            r#gen: 3,
            run: "00f1e2d3c4b5a697".to_owned(),
            iat: now,
            exp: now + 3600,
            auth_time: now,
            ext: Profile::new(),
        }
    }
}

/// A contender: a round returns the nanoseconds of processor time of one operation.
pub struct Contender {
    pub name: &'static str,
    pub round: Box<dyn FnMut() -> f64>,
}

/// The nanoseconds of processor time of one operation, of `times` in a row.
pub fn timed<T>(times: u32, mut operation: impl FnMut() -> T) -> f64 {
    let start = cpu::now();
    for _ in 0..times {
        black_box(operation());
    }
    (cpu::now() - start) / f64::from(times)
}

/// The `Cookie` header: other applications' cookies, and those of the contender.
pub fn cookies(ours: &str) -> HeaderValue {
    format!("theme=dark; {ours}; consent=all; locale=en-GB").parse().expect("a header value")
}

pub fn request<B: Default>(cookies: &HeaderValue) -> Request<B> {
    let mut request = Request::new(B::default());
    *request.uri_mut() = Uri::from_static("/me");
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("app.example"));
    request.headers_mut().insert(header::COOKIE, cookies.clone());
    request
}

/// Rounds of the same request to a service.
pub fn serving<S, B, R>(name: &'static str, runtime: &Rc<Runtime>, service: S, ours: &str) -> Contender
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + 'static,
    B: Default + 'static,
{
    const TIMES: u32 = 2000;
    let (mut service, cookies, runtime) = (service, cookies(ours), runtime.clone());
    let round = move || {
        runtime.block_on(async {
            let start = cpu::now();
            for _ in 0..TIMES {
                let response = service.call(request(&cookies)).await.expect("infallible");
                assert_eq!(response.status(), 200, "{name}");
                black_box(&response);
            }
            (cpu::now() - start) / f64::from(TIMES)
        })
    };
    Contender { name, round: Box::new(round) }
}

/// Signs in at `/login`, and returns the cookies of the response.
pub fn signed_in<S, B, R>(runtime: &Runtime, service: &mut S) -> String
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    B: Default,
{
    let mut request = request(&HeaderValue::from_static("theme=dark"));
    *request.uri_mut() = Uri::from_static("/login");
    let response = runtime.block_on(service.call(request)).expect("infallible");
    assert_eq!(response.status(), 200, "the sign-in failed");
    let lines = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().expect("ASCII").split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}
