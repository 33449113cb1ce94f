//! A browser for routers in this process, for the examples that are packages of their own.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, header::CONTENT_TYPE},
};
use tower::ServiceExt as _;
use tower_sliding_sessions::CookieJar;

#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) app: Router,
    pub(crate) jar: CookieJar,
}

impl Browser {
    pub(crate) fn new(app: &Router) -> Self {
        Self { app: app.clone(), jar: CookieJar::default() }
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Body> {
        let request = self.jar.add_to(request);
        let response = self.app.clone().oneshot(request).await.expect("an answer");
        self.jar.keep(&response);
        response
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Body> {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&mut self, path: &str, content_type: &str, body: &str) -> Response<Body> {
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        self.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("a text")
}
