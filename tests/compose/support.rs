//! A service that responds with the subject, in a body of any kind, and a client that checks a stack
//! around it.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use tower::{Service, ServiceExt as _};
use tower_sliding_sessions::{Keyring, ManualClock, Session, Sessions, Timestamp};

pub(crate) struct World {
    pub(crate) sessions: Sessions,
    clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let builder = Sessions::builder(Keyring::random().unwrap()).clock(clock.clone());
        Self { sessions: crate::device_bound::device_bound(builder).build().unwrap(), clock }
    }

    /// The `Cookie` header of a session.
    pub(crate) async fn sign_in(&self) -> String {
        let visitor = self.sessions.visitor(&Request::new(())).unwrap();
        let mut headers = HeaderMap::new();
        visitor.sign_in("ann", ()).await.unwrap().apply(&mut headers);
        let lines = headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        lines.map(|line| line.split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
    }

    /// Checks a stack with a required session layer in it: it serves, renews and rejects.
    pub(crate) async fn check<S, I, B>(&self, stack: S)
    where
        I: From<Bytes>,
        S: Service<Request<I>, Response = Response<B>> + Clone,
        S::Error: Debug,
        B: Body,
        B::Error: Debug,
    {
        let cookie = self.sign_in().await;
        let send = async |cookie: Option<&str>| {
            let mut request = Request::new(I::from(Bytes::new()));
            if let Some(cookie) = cookie {
                request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
            }
            let response = stack.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            (head, String::from_utf8(body.to_vec()).unwrap())
        };
        let (head, body) = send(Some(&cookie)).await;
        assert_eq!((head.status, body.as_str()), (StatusCode::OK, "ann"));
        assert!(!head.headers.contains_key(header::SET_COOKIE));

        self.clock.advance(Duration::from_secs(300));
        let (head, body) = send(Some(&cookie)).await;
        assert_eq!((head.status, body.as_str()), (StatusCode::OK, "ann"));
        assert_eq!(head.headers.get_all(header::SET_COOKIE).iter().count(), 2);

        let (head, body) = send(None).await;
        assert_eq!(head.status, StatusCode::UNAUTHORIZED);
        assert_eq!(head.headers[header::CACHE_CONTROL], "no-store");
        assert!(body.contains(r#""code":"unauthenticated""#), "{body}");
    }
}

/// A body that is made from text.
pub(crate) trait FromText: Body {
    fn from_text(text: String) -> Self;
}

impl FromText for Full<Bytes> {
    fn from_text(text: String) -> Self {
        Self::from(text)
    }
}

impl FromText for axum::body::Body {
    fn from_text(text: String) -> Self {
        Self::from(text)
    }
}

/// A service that accepts any request, and responds with the subject.
#[derive(Debug)]
pub(crate) struct Who<B>(PhantomData<fn() -> B>);

impl<B> Who<B> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B> Clone for Who<B> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<I, B: FromText> Service<Request<I>> for Who<B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let name = Session::<()>::of(&request).map(|session| session.subject().to_owned());
        ready(Ok(Response::new(B::from_text(name.unwrap_or_default()))))
    }
}
