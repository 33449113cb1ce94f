use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Reject, Rejection, RejectionBody, RejectionKind, ResponseBody, SessionLayer, bearer, reject,
    unproven::{self, Unproven},
};
use crate::{
    claims::Claims,
    engine::{AuthOutcome, CacheRules, FormerCookies, RequestContext, ResponsePlan},
    protocol::Refusal,
    request::RequestHead,
    session::{Layered, Session},
};

pin_project! {
    /// The response future of [`SessionService`](super::SessionService). Boxed only where a renewal asks the
    /// store.
    pub struct ResponseFuture<S, C, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        pub(super) next: Next<S, C, R, B, S::Future>,
        // None for a `Require`, which adds nothing to the handler's response.
        pub(super) finish: Option<(CacheRules, FormerCookies)>,
    }
}

pin_project! {
    /// What the future waits for.
    #[project = NextProj]
    pub(super) enum Next<S, C, R, B, F> {
        /// The store. Boxed, so that the future is small where the store is not asked.
        Ask {
            outcome: Pin<Box<dyn Future<Output = AuthOutcome<C>> + Send>>,
            waiting: Option<Box<Waiting<S, C, R, B>>>,
        },
        /// The handler.
        Handler { #[pin] future: F, respond: ResponsePlan<C> },
        /// Nothing: the layer answers itself. Boxed for the same reason.
        Answer { response: Option<Rejected> },
    }
}

/// A request that waits for the store.
pub(super) struct Waiting<S, C, R, B> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) layer: SessionLayer<C, R>,
    pub(super) context: RequestContext,
}

impl<C: Claims, R: Reject> SessionLayer<C, R> {
    /// Adds the session to a request that may go on, or returns the response that rejects it. Takes the request by
    /// reference: it is large, and moved less often so.
    #[inline]
    pub(super) fn admit<B>(
        &self,
        outcome: AuthOutcome<C>,
        request: &mut Request<B>,
        context: RequestContext,
    ) -> Result<ResponsePlan<C>, Rejected> {
        let (session, respond) = match outcome {
            AuthOutcome::Session { session, presented, renewal } => {
                let (renewed, arrived) = (renewal.as_ref().map(|renewal| renewal.how), context.arrived);
                let respond = match renewal {
                    Some(renewal) => ResponsePlan::Renewed { renewal, arrived },
                    None => ResponsePlan::Unchanged,
                };
                let RequestContext { credential, origin, .. } = context;
                (Some(Session { session, renewed, presented, credential, origin }), respond)
            }
            AuthOutcome::Anonymous(_) if self.optional => (None, ResponsePlan::Anonymous),
            AuthOutcome::Anonymous(refusal) => {
                return Err(rejected(&self.reject, request, RejectionKind::Unauthenticated(refusal)));
            }
            AuthOutcome::Rejected(RejectionKind::DeviceProofRequired) => {
                let cookies = &self.engine.config.cookies;
                match unproven::judge(cookies, &RequestHead::of(request), self.optional) {
                    Unproven::Again { removal } => {
                        let mut response =
                            rejected(&self.reject, request, RejectionKind::DeviceProofRequired);
                        if let Some(removal) = removal {
                            response.headers_mut().append(header::SET_COOKIE, removal);
                        }
                        return Err(response);
                    }
                    Unproven::Anonymous if self.optional => (None, ResponsePlan::Anonymous),
                    Unproven::Anonymous => {
                        let kind = RejectionKind::Unauthenticated(Refusal::DeviceProofRequired);
                        return Err(rejected(&self.reject, request, kind));
                    }
                }
            }
            AuthOutcome::Rejected(kind) => return Err(rejected(&self.reject, request, kind)),
        };
        Layered::insert(request.extensions_mut(), self.engine.id, !self.optional, session);
        Ok(respond)
    }
}

/// The response to a rejected request.
pub(super) type Rejected = Box<Response<RejectionBody>>;

pub(super) fn rejected<B>(reject: &impl Reject, request: &Request<B>, kind: RejectionKind) -> Rejected {
    Box::new(reject::respond(reject, &RequestHead::of(request), Rejection::new(kind)))
}

impl<S, C, R, B, F> Next<S, C, R, B, F> {
    pub(super) fn answer(response: Rejected) -> Self {
        Self::Answer { response: Some(response) }
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
            match this.next.as_mut().project() {
                NextProj::Ask { outcome, waiting } => {
                    let outcome = ready!(outcome.as_mut().poll(cx));
                    // INVARIANT: taken once, since the state changes with it.
                    let waiting = *waiting.take().expect("one outcome");
                    let Waiting { mut inner, mut request, layer, context } = waiting;
                    this.next.set(match layer.admit(outcome, &mut request, context) {
                        Ok(respond) => Next::Handler { future: inner.call(request), respond },
                        Err(response) => Next::answer(response),
                    });
                }
                NextProj::Handler { future, respond } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some((rules, _)) = this.finish {
                        respond.finish(response.headers_mut(), *rules);
                    }
                    break response.map(ResponseBody::inner);
                }
                NextProj::Answer { response } => {
                    // INVARIANT: a future must not be polled after it was ready.
                    let response = response.take().expect("polled after it was ready");
                    break response.map(ResponseBody::rejection);
                }
            }
        };
        if let Some((rules, former)) = this.finish {
            former.add_removals(response.headers_mut());
            if rules.varies_by_authorization {
                bearer::finish(&mut response);
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
