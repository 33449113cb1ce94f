use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Reject, Rejection, RejectionBody, RejectionKind, ResponseBody, SessionLayer, bearer, layer::Ways, reject,
};
use crate::{
    cache,
    claims::Claims,
    engine::{Answer, Answering, Engine, Leftovers, Renewal, Via, Whence},
    request::RequestHead,
    session::{Layered, Session},
    time::Reading,
};

pin_project! {
    /// The response future of [`SessionService`](super::SessionService). Boxed only where a
    /// renewal asks the store.
    pub struct ResponseFuture<S, C, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, C, R, B, S::Future>,
        ways: Ways,
        pub(super) leftovers: Leftovers,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, C, R, B, F> {
        /// Waits for the store, with the request in hand. Boxed, so that the future is small where
        /// there is nothing to wait for.
        Asking { answer: Answering<C>, waiting: Option<Box<Waiting<S, C, R, B>>> },
        /// Waits for the handler.
        Calling { #[pin] future: F, session: Handed<C> },
        /// The layer answers itself. Boxed for the same reason.
        Answered { response: Option<Box<Response<RejectionBody>>> },
    }
}

/// What it takes to go on when the store has answered.
pub(super) struct Waiting<S, C, R, B> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) layer: SessionLayer<C, R>,
    pub(super) whence: Whence,
    pub(super) arrived: Reading,
}

/// What the handler was handed, and so what its response needs.
enum Handed<C> {
    Nobody,
    Active,
    Renewed { renewal: Renewal<C>, engine: Arc<Engine<C>>, arrived: Reading },
}

impl<S, C, R, B> ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn active(future: S::Future, ways: Ways) -> Self {
        Self::new(State::Calling { future, session: Handed::Active }, ways)
    }

    pub(super) fn anonymous(future: S::Future, ways: Ways) -> Self {
        Self::new(State::Calling { future, session: Handed::Nobody }, ways)
    }

    pub(super) fn answered(response: Response<RejectionBody>, ways: Ways) -> Self {
        Self::new(State::Answered { response: Some(Box::new(response)) }, ways)
    }

    pub(super) fn asking(answer: Answering<C>, waiting: Box<Waiting<S, C, R, B>>) -> Self {
        let ways = waiting.layer.ways;
        Self::new(State::Asking { answer, waiting: Some(waiting) }, ways)
    }

    fn new(state: State<S, C, R, B, S::Future>, ways: Ways) -> Self {
        Self { state, ways, leftovers: Leftovers::default() }
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
        loop {
            match this.state.as_mut().project() {
                StateProj::Asking { answer, waiting } => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    // INVARIANT: taken once, for the state changes with it.
                    let next = waiting.take().expect("one answer").go_on(answer);
                    this.state.set(next);
                }
                StateProj::Calling { future, session } => {
                    let mut response = ready!(future.poll(cx))?;
                    session.settle(response.headers_mut(), *this.ways);
                    this.leftovers.remove(response.headers_mut());
                    if this.ways.accepts_bearer {
                        bearer::finish(&mut response);
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Answered { response } => {
                    // INVARIANT: whoever polls a future after it was ready breaks its contract.
                    let mut response = response.take().expect("polled after it was ready");
                    this.leftovers.remove(response.headers_mut());
                    if this.ways.accepts_bearer {
                        bearer::finish(&mut response);
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::rejection)));
                }
            }
        }
    }
}

impl<S, C, R, B> Waiting<S, C, R, B>
where
    S: Service<Request<B>>,
    C: Claims,
    R: Reject,
{
    fn go_on(self, answer: Answer<C>) -> State<S, C, R, B, S::Future> {
        let Self { mut inner, mut request, layer, whence, arrived } = self;
        let SessionLayer { engine, optional, reject, .. } = layer;
        let answered = |request: &Request<B>, kind| {
            let response = reject::respond(&reject, &RequestHead::of(request), Rejection::new(kind));
            State::Answered { response: Some(Box::new(response)) }
        };
        let realm = engine.id;
        let (session, handed) = match answer {
            Answer::Active(active) => (Some(Session::unchanged(active, whence)), Handed::Active),
            Answer::Renewed(renewal) => {
                let session = Session::renewed_by(&renewal, whence);
                (Some(session), Handed::Renewed { renewal, engine, arrived })
            }
            Answer::Looked(renewal) => (Some(Session::looked_up_by(&renewal, whence)), Handed::Active),
            Answer::Refused(refusal) if whence.via == Via::Bearer => {
                return answered(&request, RejectionKind::InvalidBearer(refusal));
            }
            Answer::Refused(_) if optional => (None, Handed::Nobody),
            Answer::Refused(refusal) => return answered(&request, RejectionKind::Unauthenticated(refusal)),
            Answer::Unavailable => return answered(&request, RejectionKind::Unavailable),
        };
        Layered::insert(request.extensions_mut(), realm, !optional, session);
        State::Calling { future: inner.call(request), session: handed }
    }
}

impl<C: Claims> Handed<C> {
    /// The head of the response leaves: adds the cookies that go with it, and keeps caches honest.
    fn settle(&self, headers: &mut HeaderMap, ways: Ways) {
        let Ways { no_store, names, .. } = ways;
        match self {
            // The handler signed in or out, or changed the session, and maybe allowed caches to store that.
            Self::Nobody | Self::Active if cache::sets_any(headers, names) => cache::forbid(headers),
            Self::Nobody => cache::vary_by_cookie(headers),
            Self::Active => cache::keep_private(headers, no_store),
            Self::Renewed { renewal, engine, arrived } => {
                let lines = engine.settle(renewal, *arrived, |name| cache::sets_cookie(headers, name));
                if lines.is_empty() && !cache::sets_any(headers, names) {
                    return cache::keep_private(headers, no_store);
                }
                for line in lines {
                    headers.append(header::SET_COOKIE, line);
                }
                cache::forbid(headers);
            }
        }
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
