//! A response on its way to the browser.

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_sliding_sessions::{Rejection, RejectionKind};

use super::{ACCESS, REFRESH};

#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Response<Body>);

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn ok(&self) -> bool {
        self.0.status() == StatusCode::OK
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// A header that occurs at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers().get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} occurs twice");
        value
    }

    /// How the request was renewed, as the application reported it.
    pub(crate) fn renewed(&self) -> Option<&str> {
        self.header("x-renewed")
    }

    /// Why the layer refused the request.
    pub(crate) fn rejection(&self) -> Option<RejectionKind> {
        self.0.extensions().get::<Rejection>().map(Rejection::kind)
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// The value that the response sets a cookie to.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let mut found = self.set_cookies().into_iter().filter_map(|line| {
            let (pair, _) = line.split_once(';').unwrap_or((line, ""));
            pair.strip_prefix(name)?.strip_prefix('=')
        });
        let value = found.next();
        assert!(found.next().is_none(), "{name} is set twice");
        value
    }

    pub(crate) fn touches_no_cookie(&self) -> bool {
        self.set_cookies().is_empty()
    }

    pub(crate) fn sets_access_only(&self) -> bool {
        self.cookie(ACCESS).is_some_and(|v| !v.is_empty()) && self.cookie(REFRESH).is_none()
    }

    pub(crate) fn sets_both(&self) -> bool {
        [ACCESS, REFRESH].iter().all(|name| self.cookie(name).is_some_and(|value| !value.is_empty()))
    }

    /// Whether it removes any cookie.
    pub(crate) fn removes_cookies(&self) -> bool {
        self.set_cookies().iter().any(|line| line.contains("Max-Age=0"))
    }

    pub(crate) async fn text(self) -> String {
        let bytes = self.0.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}

/// The claims of a token. Its signature is not checked.
pub(crate) fn claims_of(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
