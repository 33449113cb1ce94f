//! Axum itself, and with a minimal layer.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Extension, Router, body::Body, http::Request, response::Response, routing::get};
use divan::{Bencher, black_box};
use tower::Service;

use super::requests::{Profile, serve};

/// Inserts one extension.
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

#[divan::bench]
fn bare_axum(bencher: Bencher<'_, '_>) {
    serve(bencher, Router::new().route("/me", get(async || "hello")), "__Host-access=x");
}

#[divan::bench]
fn layer_that_inserts_an_extension(bencher: Bencher<'_, '_>) {
    let value = Arc::new(Profile::new());
    let insert = tower::layer::layer_fn(move |inner| Insert { inner, value: value.clone() });
    let me = get(async |Extension(user): Extension<Arc<Profile>>| {
        black_box(user.roles.len());
        "hello"
    });
    serve(bencher, Router::new().route("/me", me).layer(insert), "__Host-access=x");
}
