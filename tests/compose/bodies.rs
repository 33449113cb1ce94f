//! Bodies of every kind: boxed, tonic's, with another error type, and with other data than `Bytes`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{
    BodyExt as _, Empty, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};
use hyper::body::{Buf, Bytes};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};
use tower_sliding_sessions::{Rejection, ResponseBody};

use crate::support::{FromText, Who, World};

/// The usual boxed body of hyper services.
impl FromText for BoxBody<Bytes, Infallible> {
    fn from_text(text: String) -> Self {
        Full::from(text).boxed()
    }
}

impl FromText for UnsyncBoxBody<Bytes, BoxError> {
    fn from_text(text: String) -> Self {
        Full::from(text).map_err(Into::into).boxed_unsync()
    }
}

impl FromText for tonic::body::Body {
    fn from_text(text: String) -> Self {
        Self::new(Full::<Bytes>::from(text))
    }
}

impl FromText for String {
    fn from_text(text: String) -> Self {
        text
    }
}

/// Data that is not `Bytes`, but can be made from it.
#[derive(Debug)]
struct Words(VecDeque<u8>);

impl From<Bytes> for Words {
    fn from(bytes: Bytes) -> Self {
        Self(bytes.into_iter().collect())
    }
}

impl Buf for Words {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}

impl FromText for Full<Words> {
    fn from_text(text: String) -> Self {
        Self::new(Words(text.into_bytes().into()))
    }
}

macro_rules! bodies {
    ($($name:ident: $body:ty;)*) => {
        $(#[tokio::test]
        async fn $name() {
            let world = World::new();
            let stack = ServiceBuilder::new().layer(world.sessions.layer()).service(Who::<$body>::new());
            world.check::<_, Full<Bytes>, _>(stack).await;
        })*
    };
}

bodies! {
    boxed: BoxBody<Bytes, Infallible>;
    unsync_boxed: UnsyncBoxBody<Bytes, BoxError>;
    tonic: tonic::body::Body;
    string: String;
    other_data: Full<Words>;
}

#[tokio::test]
async fn boxed_body_keeps_its_error_type_through_the_layer() {
    let world = World::new();
    let stack = ServiceBuilder::new()
        .map_response(|response: Response<ResponseBody<Full<Bytes>>>| {
            let boxed: Response<BoxBody<Bytes, Infallible>> = response.map(|body| body.boxed());
            boxed
        })
        .layer(world.sessions.layer())
        .service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
}

/// A body that reports its size and end before it is read.
struct Sized;

impl Body for Sized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }

    fn is_end_stream(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn size_hint_and_end_of_stream_pass_through() {
    let world = World::new();
    let cookie = world.sign_in().await;
    let serve = async |layered: bool| {
        let request = Request::builder().header("cookie", if layered { cookie.as_str() } else { "" });
        let stack = ServiceBuilder::new()
            .layer(world.sessions.layer())
            .service_fn(async |_: Request<Empty<Bytes>>| Ok::<_, Infallible>(Response::new(Sized)));
        stack.oneshot(request.body(Empty::new()).unwrap()).await.unwrap().into_body()
    };
    let body = serve(true).await;
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(7), false));
    let problem = serve(false).await;
    let told = problem.size_hint().exact();
    assert_eq!(told, Some(problem.collect().await.unwrap().to_bytes().len() as u64));
}

#[tokio::test]
async fn rejection_is_a_response_of_any_body_that_is_made_from_text() {
    let world = World::new();
    let foreign = Request::builder()
        .method("POST")
        .header("sec-fetch-site", "cross-site")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let rejection = world.sessions.visitor(&foreign).unwrap_err();
    let _: Response<Full<Bytes>> = rejection.into_http();
    let _: Response<String> = Rejection::into_http(rejection);
}
