//! One request through the layer: [`SessionService::call`] authenticates it, and [`ResponseFuture`] adds cookies and
//! cache headers to the response.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Reject, Rejection, RejectionBody, RejectionKind, Require, ResponseBody, SessionLayer, reject,
    rejection::add_bearer_headers,
    unproven::{self, Unproven},
};
use crate::{
    bearer::Bearer,
    claims::Claims,
    engine::{
        AuthOutcome, AuthStep, CacheRules, Credential, FormerCookieRemovals, PendingOutcome, RequestContext,
        ResponsePlan,
    },
    protocol::Refusal,
    request::RequestHead,
    session::{Layered, Session},
};

/// The service that [`SessionLayer`] and [`Require`](super::Require) make.
pub struct SessionService<S, L> {
    pub(super) inner: S,
    pub(super) layer: L,
}

impl<S, C, R, B, ResB> Service<Request<B>> for SessionService<S, SessionLayer<C, R>>
where
    S: Service<Request<B>, Response = Response<ResB>> + Clone,
    C: Claims,
    R: Reject + Clone,
    B: Body,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, R, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (step, context, removals) = self.layer.authenticate(&request);
        let common_headers = Some((self.layer.rules, removals));
        let outcome = match step {
            AuthStep::Ready(outcome) => outcome,
            AuthStep::Pending(outcome) => {
                let layer = self.layer.for_this_thread();
                let waiting = WaitingRequest { request, context, inner: self.take_ready_inner(), layer };
                let stage = Stage::Authenticating { outcome, waiting: Some(Box::new(waiting)) };
                return ResponseFuture { stage, common_headers };
            }
        };
        let plan = match self.layer.admit(outcome, &mut request, context) {
            Ok(plan) => plan,
            Err(response) => return ResponseFuture { stage: Stage::rejected(response), common_headers },
        };
        let stage = Stage::Handler { future: self.inner.call(request), plan };
        ResponseFuture { stage, common_headers }
    }
}

impl<S: Clone, L> SessionService<S, L> {
    /// Takes the inner service that was polled ready, and leaves a clone. Only the service that was polled ready may be
    /// called.
    fn take_ready_inner(&mut self) -> S {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}

impl<C: Claims, R: Reject> SessionLayer<C, R> {
    /// Authenticates a request by its cookies or its bearer token.
    fn authenticate<B: Body>(
        &self,
        request: &Request<B>,
    ) -> (AuthStep<C>, RequestContext, FormerCookieRemovals) {
        let (engine, head) = (&self.engine, RequestHead::of(request));
        let bearer = match self.rules.accepts_bearer {
            true => Bearer::of(head.headers),
            false => Bearer::Absent,
        };
        // If the application's predicate panics, the request counts as use of the session.
        let is_passive = || {
            self.passive.as_ref().is_some_and(|is_passive| {
                engine.config.events.call("passive", || is_passive(&head)).unwrap_or(false)
            })
        };
        let context = RequestContext {
            credential: if bearer == Bearer::Absent { Credential::Cookies } else { Credential::Bearer },
            arrived: engine.revocation.read_clock(),
            with_body: !request.body().is_end_stream(),
            passive: engine.only_verifies() || is_passive(),
            proven: false,
            origin: engine.origin_to_compare(&head),
        };
        let mut removals = FormerCookieRemovals::default();
        let step = engine.authenticate(&head, bearer, &context, &mut removals);
        (step, context, removals)
    }

    /// Adds the session to an accepted request, or returns the response that rejects the request. Takes the request by
    /// reference, because moving it costs time.
    #[inline]
    fn admit<B>(
        &self,
        outcome: AuthOutcome<C>,
        request: &mut Request<B>,
        context: RequestContext,
    ) -> Result<ResponsePlan<C>, BoxedRejection> {
        let reject = |request: &Request<B>, kind| Err(rejection_response(&self.reject, request, kind));
        let (session, plan) = match outcome {
            AuthOutcome::Session { session, presented, renewal } => {
                let (renewed, arrived) = (renewal.as_ref().map(|renewal| renewal.how), context.arrived);
                let plan = match renewal {
                    Some(renewal) => ResponsePlan::Renewed { renewal, arrived },
                    None => ResponsePlan::NotRenewed,
                };
                let RequestContext { credential, origin, .. } = context;
                (Some(Session { session, renewed, presented, credential, origin }), plan)
            }
            AuthOutcome::Anonymous(_) if self.optional => (None, ResponsePlan::Anonymous),
            AuthOutcome::Anonymous(refusal) => {
                return reject(request, RejectionKind::Unauthenticated(refusal));
            }
            AuthOutcome::Rejected(RejectionKind::DeviceProofRequired) => {
                let cookies = &self.engine.config.cookies;
                match unproven::judge(cookies, &RequestHead::of(request), self.optional) {
                    Unproven::TryAgain { removal } => {
                        let mut response =
                            rejection_response(&self.reject, request, RejectionKind::DeviceProofRequired);
                        if let Some(removal) = removal {
                            response.headers_mut().append(header::SET_COOKIE, removal);
                        }
                        return Err(response);
                    }
                    Unproven::Anonymous if self.optional => (None, ResponsePlan::Anonymous),
                    Unproven::Anonymous => {
                        let kind = RejectionKind::Unauthenticated(Refusal::DeviceProofRequired);
                        return reject(request, kind);
                    }
                }
            }
            AuthOutcome::Rejected(kind) => return reject(request, kind),
        };
        Layered::insert(request.extensions_mut(), self.engine.id, !self.optional, session);
        Ok(plan)
    }
}

/// The response to a rejected request. Boxed, to keep the [`ResponseFuture`] small.
type BoxedRejection = Box<Response<RejectionBody>>;

pub(super) fn rejection_response<B>(
    reject: &impl Reject,
    request: &Request<B>,
    kind: RejectionKind,
) -> BoxedRejection {
    Box::new(reject::respond(reject, &RequestHead::of(request), Rejection::new(kind)))
}

pin_project! {
    /// The response future of [`SessionService`]. It allocates memory only for a request that asks the store, and for a
    /// rejection.
    pub struct ResponseFuture<S, C, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        pub(super) stage: Stage<S, C, R, B, S::Future>,
        // The header changes that do not depend on the session: by the layer's rules, and the removals of former
        // cookies. The cookies of a renewal are in `plan` of `Stage::Handler`. `None` for a `Require`, which adds
        // nothing.
        pub(super) common_headers: Option<(CacheRules, FormerCookieRemovals)>,
    }
}

pin_project! {
    /// What the future waits for.
    #[project = StageProj]
    pub(super) enum Stage<S, C, R, B, F> {
        /// The outcome of authentication, which needs the store. Boxed, to keep the future small.
        Authenticating {
            outcome: PendingOutcome<C>,
            waiting: Option<Box<WaitingRequest<S, C, R, B>>>,
        },
        /// The response of the handler. `plan` has the cookies of a renewal.
        Handler { #[pin] future: F, plan: ResponsePlan<C> },
        /// Nothing: the layer has rejected the request.
        Rejected { response: Option<BoxedRejection> },
    }
}

/// A request that waits for the store.
pub(super) struct WaitingRequest<S, C, R, B> {
    inner: S,
    request: Request<B>,
    layer: SessionLayer<C, R>,
    context: RequestContext,
}

impl<S, C, R, B, F> Stage<S, C, R, B, F> {
    pub(super) fn rejected(response: BoxedRejection) -> Self {
        Self::Rejected { response: Some(response) }
    }
}

impl<S, C, R, B, ResB> Future for ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    C: Claims,
    R: Reject,
{
    type Output = Result<Response<ResponseBody<ResB>>, S::Error>;

    #[expect(clippy::expect_used, reason = "see the invariants")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = loop {
            match this.stage.as_mut().project() {
                StageProj::Authenticating { outcome, waiting } => {
                    let outcome = ready!(outcome.as_mut().poll(cx));
                    // INVARIANT: it is taken once, because the stage changes below.
                    let waiting = *waiting.take().expect("one outcome");
                    let WaitingRequest { mut inner, mut request, layer, context } = waiting;
                    this.stage.set(match layer.admit(outcome, &mut request, context) {
                        Ok(plan) => Stage::Handler { future: inner.call(request), plan },
                        Err(response) => Stage::rejected(response),
                    });
                }
                StageProj::Handler { future, plan } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some((rules, _)) = this.common_headers {
                        plan.add_to(response.headers_mut(), *rules);
                    }
                    break response.map(ResponseBody::inner);
                }
                StageProj::Rejected { response } => {
                    // INVARIANT: a future must not be polled after it was ready.
                    let response = response.take().expect("polled after it was ready");
                    break response.map(ResponseBody::rejection);
                }
            }
        };
        if let Some((rules, removals)) = this.common_headers {
            removals.add_to(response.headers_mut());
            if rules.accepts_bearer {
                add_bearer_headers(&mut response);
            }
        }
        Poll::Ready(Ok(response))
    }
}

impl<S, C, R, B> fmt::Debug for ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// axum clones the service for each request.
impl<S: Clone, C, R: Clone> Clone for SessionService<S, SessionLayer<C, R>> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.for_this_thread() }
    }
}

impl<S: Clone, C, R: Clone> Clone for SessionService<S, Require<C, R>> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, L: fmt::Debug> fmt::Debug for SessionService<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
