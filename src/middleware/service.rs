use std::{
    fmt, mem,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    Reject, Require, ResponseBody, ResponseFuture, SessionLayer,
    future::{Next, Waiting},
};
use crate::{claims::Claims, engine::AuthStep};

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
        let (decision, context, former) = self.layer.authenticate(&request);
        let finish = Some((self.layer.rules, former));
        let outcome = match decision {
            AuthStep::Ready(outcome) => outcome,
            AuthStep::AskStore(outcome) => {
                let layer = self.layer.for_this_thread();
                let waiting = Waiting { request, context, inner: self.ready_inner(), layer };
                return ResponseFuture {
                    next: Next::Ask { outcome, waiting: Some(Box::new(waiting)) },
                    finish,
                };
            }
        };
        let respond = match self.layer.admit(outcome, &mut request, context) {
            Ok(respond) => respond,
            Err(response) => return ResponseFuture { next: Next::answer(response), finish },
        };
        ResponseFuture { next: Next::Handler { future: self.inner.call(request), respond }, finish }
    }
}

impl<S: Clone, L> SessionService<S, L> {
    /// The inner service that was polled ready: it must be the one that is called, later.
    fn ready_inner(&mut self) -> S {
        let spare = self.inner.clone();
        mem::replace(&mut self.inner, spare)
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
