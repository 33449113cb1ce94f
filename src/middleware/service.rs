use std::{
    fmt, mem,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    Reject, Rejection, RejectionKind, ResponseBody, ResponseFuture, SessionLayer, future::Waiting, reject,
};
use crate::{
    claims::Claims,
    cross_site,
    engine::{Admission, Asking, Bearer, Leftovers, Via, Whence},
    event::EventKind,
    request::RequestHead,
    session::{Layered, Session},
};

/// The service that [`SessionLayer`] makes.
pub struct SessionService<S, C, R> {
    pub(super) inner: S,
    pub(super) layer: SessionLayer<C, R>,
}

impl<S, C, R, B, ResB> Service<Request<B>> for SessionService<S, C, R>
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
        let engine = &self.layer.engine;
        let arrived = engine.read_clock();
        let (method, headers) = (request.method(), request.headers());
        if engine.config.loopback_only && !cross_site::is_for_loopback(request.uri(), headers) {
            return self.answer(&request, RejectionKind::NotLoopback);
        }
        let head = RequestHead::of(&request);
        let passive = self.layer.passive.as_ref().is_some_and(|is_passive| {
            // Without an answer, the request counts as use, as it does without the predicate.
            engine.config.events.call("passive", || is_passive(&head)).unwrap_or(false)
        });
        // Whether the request has a body: few need to know.
        let with_body = || !request.body().is_end_stream();
        let mut leftovers = Leftovers::default();
        let (via, admission) = match self.layer.bearer(headers) {
            Bearer::Malformed => return self.answer(&request, RejectionKind::MalformedBearer),
            // No browser adds one by itself, so it matters not whose page the request is from.
            Bearer::Token(token) => (Via::Bearer, engine.admit_bearer(token, passive, with_body, arrived)),
            Bearer::Absent
                if !cross_site::is_allowed(method, request.uri(), headers, &engine.config.trusted) =>
            {
                let why = cross_site::describe(method, request.uri(), headers);
                engine.config.events.note_with(EventKind::CrossSiteRefused, why);
                return self.answer(&request, RejectionKind::CrossSite);
            }
            Bearer::Absent => {
                let renewal = || cross_site::renewal(method, headers, &engine.config.trusted);
                let admission = engine.admit(headers, renewal, passive, with_body, arrived, &mut leftovers);
                (Via::Cookies, admission)
            }
        };
        let whence = Whence { via, origin: engine.origin_to_compare(&head) };
        let mut future = match admission {
            Admission::Active(active) => {
                let session = Session::unchanged(active, whence);
                Layered::insert(request.extensions_mut(), engine.id, !self.layer.optional, Some(session));
                ResponseFuture::active(self.inner.call(request), self.layer.ways)
            }
            Admission::Ask(question) => {
                let asking = Asking { with_body: with_body(), passive, origin: whence.origin.clone() };
                let answer = engine.clone().ask_store(question, asking);
                // The inner service that was readied is the one to call, later.
                let spare = self.inner.clone();
                let ready = mem::replace(&mut self.inner, spare);
                let layer = self.layer.clone();
                let waiting = Box::new(Waiting { inner: ready, request, layer, whence, arrived });
                ResponseFuture::asking(answer, waiting)
            }
            Admission::NotNow => self.answer(&request, RejectionKind::NotNow),
            Admission::Unknown => self.answer(&request, RejectionKind::Unavailable),
            Admission::Refuse(refusal) if via == Via::Bearer => {
                self.answer(&request, RejectionKind::InvalidBearer(refusal))
            }
            Admission::Refuse(_) if self.layer.optional => {
                Layered::<C>::insert(request.extensions_mut(), engine.id, false, None);
                ResponseFuture::anonymous(self.inner.call(request), self.layer.ways)
            }
            Admission::Refuse(refusal) => self.answer(&request, RejectionKind::Unauthenticated(refusal)),
        };
        future.leftovers = leftovers;
        future
    }
}

impl<S, C, R> SessionService<S, C, R> {
    fn answer<B>(&self, request: &Request<B>, kind: RejectionKind) -> ResponseFuture<S, C, R, B>
    where
        S: Service<Request<B>>,
        R: Reject,
    {
        let rejection = Rejection::new(kind);
        let response = reject::respond(&self.layer.reject, &RequestHead::of(request), rejection);
        ResponseFuture::answered(response, self.layer.ways)
    }
}

impl<S: Clone, C, R: Clone> Clone for SessionService<S, C, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for SessionService<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
