//! Rejections rendered by the application, by closures without annotations and by types.

use std::{convert::Infallible, sync::Arc};

use axum::{Json, Router, body::Body, response::Html, routing::get};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::trace::TraceLayer;
use tower_sliding_sessions::{RedirectToLogin, Reject, Rejection, RejectionBody, RejectionKind, RequestHead};

use crate::support::{Who, World};

fn request<B: Default>() -> Request<B> {
    Request::builder().uri("/page").body(B::default()).unwrap()
}

async fn text(response: Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn closure_without_annotations_returns_a_response() {
    let world = World::new();
    let stack = ServiceBuilder::new()
        .layer(world.sessions.layer().with_rejection(|rejection, request| {
            let text = format!("{} {}", request.uri.path(), rejection.status());
            Response::builder().status(418).body(Full::<Bytes>::from(text)).unwrap()
        }))
        .layer(TraceLayer::new_for_http())
        .service(Who::<Full<Bytes>>::new());
    let response = stack.oneshot(request::<Full<Bytes>>()).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert!(response.extensions().get::<Rejection>().is_some());
    assert_eq!(text(response).await, "/page 401 Unauthorized");
}

#[tokio::test]
async fn closure_without_annotations_returns_any_axum_response() {
    let world = World::new();
    let html = world.sessions.layer().with_rejection(|rejection, _| {
        (rejection.status(), [(header::CACHE_CONTROL, "public")], Html("<p>Sign in.</p>"))
    });
    let html = Router::<()>::new().route("/page", get(async || "never")).layer(html);
    let response = html.oneshot(request::<Body>()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(text(response).await, "<p>Sign in.</p>");

    let json = world.sessions.layer().with_rejection(|rejection, request| {
        let code = match rejection.kind() {
            RejectionKind::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            _ => rejection.status(),
        };
        (code, Json(request.uri.path().to_owned()))
    });
    let json = Router::<()>::new().route("/page", get(async || "never")).route_layer(json);
    assert_eq!(text(json.oneshot(request::<Body>()).await.unwrap()).await, r#""/page""#);
}

#[tokio::test]
async fn closure_without_annotations_renders_the_rejections_of_a_rule() {
    let world = World::new();
    let rule =
        world.sessions.require().claims(|()| false).with_rejection(|_, _| (StatusCode::NOT_FOUND, "no"));
    let app = Router::<()>::new()
        .route("/page", get(async || "never"))
        .route_layer(rule)
        .route_layer(world.sessions.layer());
    let cookie = world.sign_in().await;
    let mut request = request::<Body>();
    request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    let response = app.oneshot(request).await.unwrap();
    assert_eq!((response.status(), text(response).await.as_str()), (StatusCode::NOT_FOUND, "no"));
}

fn named(_: Rejection, request: &RequestHead<'_>) -> String {
    request.method.to_string()
}

#[tokio::test]
async fn function_renders_rejections() {
    let world = World::new();
    let app = Router::<()>::new()
        .route("/page", get(async || "never"))
        .layer(world.sessions.layer().with_rejection(named));
    assert_eq!(text(app.oneshot(request::<Body>()).await.unwrap()).await, "GET");
}

#[derive(Clone)]
struct Teapot;

impl Reject for Teapot {
    fn reject(&self, _: Rejection, _: &RequestHead<'_>) -> Response<RejectionBody> {
        Response::builder().status(418).body("a teapot".into()).unwrap()
    }
}

#[tokio::test]
async fn types_and_trait_objects_render_rejections() {
    let world = World::new();
    let boxed: Arc<dyn Reject + Send + Sync> = Arc::new(Teapot);
    for layer in
        [world.sessions.layer().with_reject(boxed.clone()), world.sessions.layer().with_reject(boxed)]
    {
        let stack = ServiceBuilder::new().layer(layer).service(Who::<Full<Bytes>>::new());
        let response = stack.oneshot(request::<Full<Bytes>>()).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (418, "a teapot"));
    }
    let stack = ServiceBuilder::new()
        .layer(world.sessions.layer().with_reject(RedirectToLogin::new("/login")))
        .layer(TraceLayer::new_for_http())
        .service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
    let mut page = request::<Full<Bytes>>();
    page.headers_mut().insert(header::ACCEPT, "text/html".parse().unwrap());
    assert_eq!(stack.oneshot(page).await.unwrap().status(), StatusCode::SEE_OTHER);
}

/// A body that fails before its end.
struct Failing(bool);

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(Some(match std::mem::replace(&mut self.0, true) {
            false => Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
            true => Err(std::io::Error::other("simulated failure")),
        }))
    }
}

#[tokio::test]
async fn rejection_body_that_fails_ends_the_response() {
    let world = World::new();
    let layer = world.sessions.layer().with_rejection(|_, _| Response::new(Failing(false)));
    let stack = ServiceBuilder::new().layer(layer).service(Who::<Full<Bytes>>::new());
    assert_eq!(text(stack.oneshot(request::<Full<Bytes>>()).await.unwrap()).await, "half");
}
