//! An application to send the bytes of a fuzzer to, through the whole layer.

use std::{cell::RefCell, convert::Infallible, pin::pin};

use axum::{Router, body::Body, routing::get};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tower_service::Service as _;
use tower_sliding_sessions::{CookieJar, CookieOptions, Keyring, Session, Sessions, oauth::OAuth};

/// The application, and what a legitimate client of it holds.
pub struct World {
    runtime: tokio::runtime::Runtime,
    app: Router,
    /// The `Cookie` header of a signed-in client.
    pub cookies: String,
    /// The access token in it.
    pub access: String,
}

impl World {
    fn new(encrypted: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let cookies = |options: CookieOptions| if encrypted { options.encrypted() } else { options };
        let sessions: Sessions = Sessions::builder(keys).cookies(cookies).build().expect("the defaults");
        let jar = runtime.block_on(sessions.cookie_of("ann", ())).expect("a sign-in");
        let cookies = CookieJar::from(jar).header().expect("cookies").to_str().expect("ASCII").to_owned();
        let access =
            cookies.split("; ").find_map(|pair| pair.strip_prefix("__Host-access=")).expect("a token");
        let access = access.to_owned();
        let me = get(async |session: Session| session.subject().to_owned());
        let app = Router::new()
            .route("/me", me)
            .route_layer(sessions.layer().accept_bearer())
            .nest("/oauth", OAuth::new(&sessions).router());
        Self { runtime, app, cookies, access }
    }

    /// The status of the response. None if the bytes are no header value.
    pub fn get(&mut self, headers: &[(HeaderName, &[u8])]) -> Option<StatusCode> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/me".parse().expect("a path");
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
        Some(self.send(request).status())
    }

    /// The response to a form.
    pub fn post(&mut self, path: &'static str, form: &[u8]) -> StatusCode {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_vec()));
        self.send(request.expect("a request")).status()
    }

    fn send(&mut self, request: Request<Body>) -> Response<Body> {
        let response: Result<_, Infallible> = self.runtime.block_on(pin!(self.app.call(request)));
        match response {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Calls `test` with the world of this process.
pub fn with<T>(test: impl FnOnce(&mut World) -> T) -> T {
    thread_local!(static WORLD: RefCell<World> = RefCell::new(World::new(false)));
    WORLD.with_borrow_mut(test)
}

/// The same, with encrypted cookies.
pub fn with_encrypted<T>(test: impl FnOnce(&mut World) -> T) -> T {
    thread_local!(static WORLD: RefCell<World> = RefCell::new(World::new(true)));
    WORLD.with_borrow_mut(test)
}
