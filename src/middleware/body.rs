//! The bodies of the layer's responses: of the inner service, or of a rejection.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The response body of a [`SessionService`](super::SessionService): the body of the inner service,
    /// unchanged, or the body of a rejection.
    ///
    /// It implements [`Body`] if `B` does, and if `B::Data` implements `From<Bytes>`. The data of nearly every body is
    /// `Bytes`. Convert the data of any other body inside of the layer, for example by `BodyExt::map_frame` of
    /// http-body-util.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Rejection { body: RejectionBody },
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) fn rejection(body: RejectionBody) -> Self {
        Self { kind: Kind::Rejection { body } }
    }
}

/// An empty body. Other layers make their own responses with it.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Rejection { body } => match Pin::new(body).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame.map_data(B::Data::from)))),
                // A rejection body that fails ends here: its error cannot become an error of the inner body's type.
                Poll::Ready(Some(Err(_)) | None) => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Rejection { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Rejection { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

/// The body of a rejection: a text, or any other body that axum or hyper can send.
#[derive(Default)]
pub struct RejectionBody(Repr);

/// Kept small, because each response body reserves space for it.
enum Repr {
    Text(&'static str),
    Any(Box<AnyBody>),
}

/// The mutex makes the body `Sync`. So a [`ResponseBody`] is `Sync` if the inner service's body is.
type AnyBody = Mutex<Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>>;

impl Default for Repr {
    fn default() -> Self {
        Self::Text("")
    }
}

impl RejectionBody {
    /// Sends `body`. If `body` fails, the response ends at that point.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Repr::Any(Box::new(Mutex::new(Box::pin(BoxedErrorBody { body })))))
    }
}

impl From<&'static str> for RejectionBody {
    fn from(text: &'static str) -> Self {
        Self(Repr::Text(text))
    }
}

impl From<String> for RejectionBody {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Body for RejectionBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Repr::Text("") => Poll::Ready(None),
            Repr::Text(text) => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(mem::take(text).as_bytes())))))
            }
            Repr::Any(body) => body.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Text(text) => text.is_empty(),
            Repr::Any(body) => body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Text(text) => SizeHint::with_exact(text.len() as u64),
            Repr::Any(body) => body.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}

impl fmt::Debug for RejectionBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectionBody").finish_non_exhaustive()
    }
}

pin_project! {
    /// A body whose error is boxed.
    struct BoxedErrorBody<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for BoxedErrorBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a closure of [`SessionLayer::with_rejection`](super::SessionLayer::with_rejection) can return: with the
/// feature `axum` any `IntoResponse`; without it a [`Response`].
pub trait IntoRejectionResponse {
    /// The response.
    fn into_rejection_response(self) -> Response<RejectionBody>;
}

#[cfg(feature = "axum")]
impl<T: axum_core::response::IntoResponse> IntoRejectionResponse for T {
    fn into_rejection_response(self) -> Response<RejectionBody> {
        self.into_response().map(RejectionBody::new)
    }
}

#[cfg(not(feature = "axum"))]
impl<B> IntoRejectionResponse for Response<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_rejection_response(self) -> Response<RejectionBody> {
        self.map(RejectionBody::new)
    }
}
