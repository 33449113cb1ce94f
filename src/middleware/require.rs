use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    IntoRejectionResponse, ProblemJson, Reject, RejectWith, Rejection, RejectionBody, RejectionKind,
    ResponseBody, rejection,
};
use crate::{
    claims::Claims,
    protocol::Refusal,
    request::RequestHead,
    session::{Session, Slot},
};

type Rule<C> = dyn Fn(&Session<C>) -> Result<(), RejectionKind> + Send + Sync;

/// A layer for *may you*: only sessions that pass get through. Put it within the session layer.
///
/// ```
/// # use std::time::Duration;
/// # use tower_sliding_sessions::Require;
/// # struct Profile { roles: Vec<String> }
/// # impl serde::Serialize for Profile { fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_unit() } }
/// # impl<'de> serde::Deserialize<'de> for Profile { fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> { Ok(Profile { roles: vec![] }) } }
/// let admins = Require::claims(|profile: &Profile| profile.roles.iter().any(|role| role == "admin"));
/// let fresh = Require::<Profile>::proof_within(Duration::from_secs(60));
/// ```
pub struct Require<C, R = ProblemJson> {
    rule: Arc<Rule<C>>,
    reject: R,
}

impl<C: Claims> Require<C> {
    /// Sessions whose claims satisfy `predicate`. Others get 403.
    pub fn claims(predicate: impl Fn(&C) -> bool + Send + Sync + 'static) -> Self {
        let rule = move |session: &Session<C>| {
            predicate(session.claims()).then_some(()).ok_or(RejectionKind::Forbidden)
        };
        Self { rule: Arc::new(rule), reject: ProblemJson }
    }

    /// Sessions whose subject proved who they are by `method` (`amr` of RFC 8176), such as `otp`, at
    /// sign-in or by the last [proof](Session::prove) after it. Others get 403 of a kind of its own.
    pub fn method(method: impl Into<String>) -> Self {
        let method = method.into();
        let rule = move |session: &Session<C>| {
            session.methods().contains(&method).then_some(()).ok_or(RejectionKind::MethodRequired)
        };
        Self { rule: Arc::new(rule), reject: ProblemJson }
    }

    /// Sessions whose subject last proved who they are by `method`, and at most `age` ago: an `otp`
    /// of the last five minutes. Others get 403, of the kind of [`method`](Self::method) or of
    /// [`proof_within`](Self::proof_within), by what is wanting.
    pub fn method_within(method: impl Into<String>, age: Duration) -> Self {
        let method = method.into();
        let rule = move |session: &Session<C>| match session.last_methods().contains(&method) {
            false => Err(RejectionKind::MethodRequired),
            true if session.proved_within(age) => Ok(()),
            true => Err(RejectionKind::ProofRequired),
        };
        Self { rule: Arc::new(rule), reject: ProblemJson }
    }

    /// Sessions whose subject proved who they are at most `age` ago; signing in counts. Others get
    /// 403 of a kind of its own, on which a front end can ask for the password again.
    #[must_use]
    pub fn proof_within(age: Duration) -> Self {
        let rule = move |session: &Session<C>| {
            session.proved_within(age).then_some(()).ok_or(RejectionKind::ProofRequired)
        };
        Self { rule: Arc::new(rule), reject: ProblemJson }
    }
}

impl<C, R> Require<C, R> {
    /// Answers rejected requests by a closure, as
    /// [`SessionLayer::with_rejection`](super::SessionLayer::with_rejection) does. Default:
    /// [`ProblemJson`].
    #[must_use]
    pub fn with_rejection<F, A>(self, reject: F) -> Require<C, RejectWith<F>>
    where
        F: Fn(Rejection, &RequestHead<'_>) -> A + Clone,
        A: IntoRejectionResponse,
    {
        self.with_reject(RejectWith(reject))
    }

    /// Answers rejected requests by a type, or by an `Arc<dyn Reject + Send + Sync>`. Default:
    /// [`ProblemJson`].
    #[must_use]
    pub fn with_reject<R2: Reject + Clone>(self, reject: R2) -> Require<C, R2> {
        Require { rule: self.rule, reject }
    }
}

impl<C, R: Clone> Clone for Require<C, R> {
    fn clone(&self) -> Self {
        Self { rule: self.rule.clone(), reject: self.reject.clone() }
    }
}

impl<C, R> fmt::Debug for Require<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require").finish_non_exhaustive()
    }
}

impl<S, C, R: Clone> Layer<S> for Require<C, R> {
    type Service = RequireService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireService { inner, require: self.clone() }
    }
}

/// The service that [`Require`] makes.
pub struct RequireService<S, C, R> {
    inner: S,
    require: Require<C, R>,
}

impl<S, C, R, B, ResB> Service<Request<B>> for RequireService<S, C, R>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    C: Claims,
    R: Reject,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let verdict = match request.extensions().get::<Slot<C>>() {
            Some(Slot::Session(session)) => (self.require.rule)(session),
            Some(Slot::Anonymous) => Err(RejectionKind::Unauthenticated(Refusal::NoToken)),
            None => Err(RejectionKind::MissingLayer),
        };
        match verdict {
            Ok(()) => RequireFuture { state: RequireState::Calling { future: self.inner.call(request) } },
            Err(kind) => {
                let head = RequestHead::of(&request);
                let response = rejection::respond(&self.require.reject, &head, Rejection::new(kind));
                RequireFuture { state: RequireState::Answered { response: Some(Box::new(response)) } }
            }
        }
    }
}

impl<S: Clone, C, R: Clone> Clone for RequireService<S, C, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), require: self.require.clone() }
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for RequireService<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pin_project! {
    /// The response future of [`RequireService`].
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        state: RequireState<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = RequireProj]
    enum RequireState<F> {
        Calling { #[pin] future: F },
        Answered { response: Option<Box<Response<RejectionBody>>> },
    }
}

impl<F, B, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[expect(clippy::expect_used, reason = "see the invariant")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            RequireProj::Calling { future } => {
                Poll::Ready(Ok(ready!(future.poll(cx))?.map(ResponseBody::inner)))
            }
            // INVARIANT: whoever polls a future after it was ready breaks its contract.
            RequireProj::Answered { response } => {
                let response = response.take().expect("polled after it was ready");
                Poll::Ready(Ok(response.map(ResponseBody::rejection)))
            }
        }
    }
}
