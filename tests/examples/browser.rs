//! A browser with a cookie jar, for routers in this process.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
    name: &'static str,
}

impl Browser {
    pub(crate) fn new(router: &Router, name: &'static str) -> Self {
        Self { router: router.clone(), cookies: BTreeMap::new(), name }
    }

    /// A browser that has signed in with this form, or this name.
    pub(crate) async fn signed_in(router: &Router, name: &'static str, body: &str) -> Self {
        let mut browser = Self::new(router, name);
        assert_eq!(browser.post("/login", body).await, StatusCode::OK);
        browser
    }

    /// The same cookies in another browser.
    pub(crate) fn copied_by(&self, name: &'static str) -> Self {
        Self { name, ..self.clone() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> StatusCode {
        self.send("GET", path, "", &[]).await.status()
    }

    pub(crate) async fn delete(&mut self, path: &str) -> StatusCode {
        self.send("DELETE", path, "", &[]).await.status()
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> StatusCode {
        self.send("POST", path, body, &[("content-type", "application/x-www-form-urlencoded")]).await.status()
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Response<Body> {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:3000")
            .header(header::USER_AGENT, self.name)
            .header(header::COOKIE, pairs.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        for line in response.headers().get_all(header::SET_COOKIE) {
            let line = line.to_str().expect("ASCII");
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a name and a value");
            match line.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        // Background writes complete, too.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        response
    }
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

pub(crate) async fn json(response: Response<Body>) -> serde_json::Value {
    serde_json::from_str(&text(response).await).expect("JSON")
}
