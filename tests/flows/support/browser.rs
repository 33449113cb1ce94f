//! A browser: a jar that applies `Set-Cookie` exactly, and requests that carry the jar's content at the
//! time they leave. A test holds requests and responses as values, and delivers them late, in another
//! order, or never.

use axum::body::Body;
use http::{Method, Request};

use super::{Answer, Instance};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    domain: Option<String>,
    secure: bool,
    max_age: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Browser {
    jar: Vec<Cookie>,
    /// Whether it uses plain HTTP. Secure cookies are then neither sent nor stored.
    plain: bool,
}

/// A request that has left the browser.
#[derive(Debug)]
pub(crate) struct Sent(pub(crate) Request<Body>);

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn over_plain_http() -> Self {
        Self { plain: true, ..Self::default() }
    }

    pub(crate) fn send(&self, method: Method, path: &str) -> Sent {
        let scheme = if self.plain { "http" } else { "https" };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let headers = request.headers_mut();
        headers.insert("host", "app.example".parse().unwrap());
        headers.insert("origin", format!("{scheme}://app.example").parse().unwrap());
        headers.insert("sec-fetch-site", "same-origin".parse().unwrap());
        let cookies = self.cookies_for(request.uri().path());
        if !cookies.is_empty() {
            request.headers_mut().insert("cookie", cookies.parse().unwrap());
        }
        Sent(request)
    }

    pub(crate) fn get(&self, path: &str) -> Sent {
        self.send(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Sent {
        self.send(Method::POST, path)
    }

    /// Sends a request, and stores the cookies of the response.
    pub(crate) async fn visit(&mut self, instance: &Instance, path: &str) -> Answer {
        let answer = instance.answer(self.get(path)).await;
        self.receive(&answer);
        answer
    }

    pub(crate) async fn submit(&mut self, instance: &Instance, path: &str) -> Answer {
        let answer = instance.answer(self.post(path)).await;
        self.receive(&answer);
        answer
    }

    pub(crate) fn receive(&mut self, answer: &Answer) {
        for line in answer.set_cookies() {
            self.obey(line);
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    /// `Max-Age` of a cookie. None for a cookie that lasts for the browser session.
    pub(crate) fn max_age(&self, name: &str) -> Option<u64> {
        self.jar.iter().find(|cookie| cookie.name == name).and_then(|cookie| cookie.max_age)
    }

    pub(crate) fn lose(&mut self, name: &str) {
        self.jar.retain(|cookie| cookie.name != name);
    }

    /// Writes a cookie into the jar, as an attacker or a script does.
    pub(crate) fn plant(&mut self, name: &str, value: &str) {
        self.lose(name);
        self.obey(&format!("{name}={value}; Path=/{}", if self.plain { "" } else { "; Secure" }));
    }

    /// Adds another jar's cookies of other paths or domains to its own.
    pub(crate) fn keep_all_of(&mut self, other: &Self) {
        self.jar.extend(other.jar.iter().cloned());
    }

    /// The number of cookies.
    pub(crate) fn count(&self) -> usize {
        self.jar.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jar.is_empty()
    }

    fn cookies_for(&self, path: &str) -> String {
        let goes = |cookie: &&Cookie| {
            let below = path.strip_prefix(cookie.path.trim_end_matches('/'));
            (!cookie.secure || !self.plain)
                && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let pairs: Vec<_> =
            self.jar.iter().filter(goes).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        pairs.join("; ")
    }

    /// RFC 6265bis, section 5, as far as these tests need it.
    fn obey(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let (name, value) = (name.to_owned(), value.to_owned());
        let (path, domain, secure, max_age) = ("/".to_owned(), None, false, None);
        let mut cookie = Cookie { name, value, path, domain, secure, max_age };
        for attribute in parts {
            match attribute.split_once('=').unwrap_or((attribute, "")) {
                ("Path", path) => path.clone_into(&mut cookie.path),
                ("Domain", domain) => cookie.domain = Some(domain.to_owned()),
                ("Secure", "") => cookie.secure = true,
                ("Max-Age", seconds) => cookie.max_age = Some(seconds.parse().unwrap()),
                ("HttpOnly" | "Partitioned", "") | ("SameSite" | "Expires", _) => {}
                other => panic!("an attribute that no browser knows: {other:?}"),
            }
        }
        let host_only = cookie.secure && cookie.path == "/" && cookie.domain.is_none();
        if (cookie.name.starts_with("__Host-") && !host_only) || (cookie.secure && self.plain) {
            return;
        }
        let same = |old: &Cookie| {
            (&old.name, &old.path, &old.domain) == (&cookie.name, &cookie.path, &cookie.domain)
        };
        self.jar.retain(|old| !same(old));
        if cookie.max_age != Some(0) {
            self.jar.push(cookie);
        }
    }
}

impl Sent {
    /// Adds a header, next to any with the same name.
    pub(crate) fn and(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().append(name, value.parse().unwrap());
        self
    }

    /// Sets a header, or removes it.
    pub(crate) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.0.headers_mut().remove(name);
        match value {
            Some(value) => self.and(name, value),
            None => self,
        }
    }

    pub(crate) fn body(mut self, text: &'static str) -> Self {
        *self.0.body_mut() = Body::from(text);
        self
    }
}
