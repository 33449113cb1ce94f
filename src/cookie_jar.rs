//! The cookies of a browser, for tests of applications.

use std::{collections::BTreeMap, fmt};

use cookie::Cookie;
use http::{HeaderMap, HeaderValue, Request, Response, header};

/// The cookies of one browser, for tests. Adds the cookies to requests, and keeps the cookies of responses.
///
/// The jar keeps a cookie until a response removes the cookie (`Max-Age=0`). The jar ignores domains, paths, `Secure`
/// and expiry: a session expires by the clock of the builder, not by its cookies.
///
/// ```
/// # #[cfg(feature = "axum")] #[tokio::main(flavor = "current_thread")] async fn main() {
/// # use axum::{Router, body::Body, http::Request, routing::{get, post}};
/// # use tower::ServiceExt as _;
/// # use tower_sliding_sessions::{CookieJar, Keyring, Rejection, Session, Sessions, SetCookies, Visitor};
/// # async fn login(visitor: Visitor) -> Result<SetCookies, Rejection> { Ok(visitor.sign_in("ann", ()).await?) }
/// # async fn me(session: Session) -> String { session.subject().to_owned() }
/// # let sessions: Sessions = Sessions::builder(Keyring::random().unwrap()).build().unwrap();
/// # let app = Router::new().route("/me", get(me)).route_layer(sessions.layer());
/// # let app: Router = app.route("/login", post(login)).with_state(sessions);
/// let mut jar = CookieJar::default();
/// for (method, path) in [("POST", "/login"), ("GET", "/me")] {
///     let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
///     let response = app.clone().oneshot(jar.add_to(request)).await.unwrap();
///     jar.keep(&response);
///     assert_eq!(response.status(), 200);
/// }
/// # }
/// # #[cfg(not(feature = "axum"))] fn main() {}
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CookieJar {
    cookies: BTreeMap<String, String>,
}

impl CookieJar {
    /// Returns the request with the cookies of this jar. Other cookies of the request are removed.
    #[must_use]
    pub fn add_to<B>(&self, mut request: Request<B>) -> Request<B> {
        request.headers_mut().remove(header::COOKIE);
        if let Some(cookies) = self.header() {
            request.headers_mut().insert(header::COOKIE, cookies);
        }
        request
    }

    /// Keeps the cookies of a response.
    pub fn keep<B>(&mut self, response: &Response<B>) {
        self.keep_headers(response.headers());
    }

    /// Keeps the cookies in the headers of a response: for example, of another HTTP client.
    pub fn keep_headers(&mut self, headers: &HeaderMap) {
        let lines = headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        for cookie in lines.filter_map(|line| Cookie::parse(line).ok()) {
            match cookie.max_age().is_some_and(|age| !age.is_positive()) {
                true => self.cookies.remove(cookie.name()),
                false => self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned()),
            };
        }
    }

    /// The `Cookie` header. `None` if the jar has no cookies.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        HeaderValue::try_from(pairs.join("; ")).ok().filter(|line| !line.is_empty())
    }

    /// The names of the cookies.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cookies.keys().map(String::as_str)
    }
}

/// Makes a jar from a `Cookie` header: for example, from [`Sessions::cookie_of`](crate::Sessions::cookie_of).
impl From<HeaderValue> for CookieJar {
    fn from(header: HeaderValue) -> Self {
        let pairs = header.to_str().unwrap_or_default().split("; ").filter_map(|pair| pair.split_once('='));
        Self { cookies: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }
}

/// Shows the names of the cookies, and not their values.
impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
