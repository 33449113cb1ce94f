use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Reject, Rejection, RejectionKind, RequestHead, SessionLayer, rejection};
use crate::{
    cache,
    claims::Claims,
    engine::{Active, Engine, RenewError, Renewal},
    protocol::Refusal,
    session::{Session, Slot},
    time::Timestamp,
};

type Renewing<C> = Pin<Box<dyn Future<Output = Result<Renewal<C>, RenewError>> + Send>>;

pin_project! {
    /// The response future of [`SessionService`](super::SessionService). Boxed only where a
    /// renewal asks the store.
    pub struct ResponseFuture<S, C, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, C, R, B, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, C, R, B, F, Res> {
        /// Waits for the store, with the request in hand.
        Renewing { renewing: Renewing<C>, waiting: Option<Waiting<S, C, R, B>> },
        /// Waits for the handler.
        Calling { #[pin] future: F, session: Handed<C> },
        /// The layer answers itself.
        Answered { response: Option<Res> },
    }
}

/// What it takes to go on after a renewal.
struct Waiting<S, C, R, B> {
    otherwise: Option<Arc<Active<C>>>,
    inner: S,
    request: Request<B>,
    layer: SessionLayer<C, R>,
    arrived: Timestamp,
}

/// What the handler was handed, and so what its response needs.
enum Handed<C> {
    Nobody,
    Active,
    Renewed { renewal: Renewal<C>, engine: Arc<Engine<C>>, arrived: Timestamp },
}

impl<S, C, R, B> ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn active(future: S::Future) -> Self {
        Self { state: State::Calling { future, session: Handed::Active } }
    }

    pub(super) fn anonymous(future: S::Future) -> Self {
        Self { state: State::Calling { future, session: Handed::Nobody } }
    }

    pub(super) fn answered(response: S::Response) -> Self {
        Self { state: State::Answered { response: Some(response) } }
    }

    pub(super) fn renewing(
        renewing: Renewing<C>,
        otherwise: Option<Arc<Active<C>>>,
        inner: S,
        request: Request<B>,
        layer: SessionLayer<C, R>,
        arrived: Timestamp,
    ) -> Self {
        let waiting = Some(Waiting { otherwise, inner, request, layer, arrived });
        Self { state: State::Renewing { renewing, waiting } }
    }
}

impl<S, C, R, B, ResB> Future for ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    C: Claims,
    R: Reject<ResB>,
{
    type Output = Result<Response<ResB>, S::Error>;

    #[expect(clippy::expect_used, reason = "see the invariants")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Renewing { renewing, waiting } => {
                    let renewed = ready!(renewing.as_mut().poll(cx));
                    // INVARIANT: taken once, for the state changes with it.
                    let next = waiting.take().expect("one renewal").go_on(renewed);
                    this.state.set(next);
                }
                StateProj::Calling { future, session } => {
                    let mut response = ready!(future.poll(cx))?;
                    session.settle(response.headers_mut());
                    return Poll::Ready(Ok(response));
                }
                StateProj::Answered { response } => {
                    // INVARIANT: whoever polls a future after it was ready breaks its contract.
                    return Poll::Ready(Ok(response.take().expect("polled after it was ready")));
                }
            }
        }
    }
}

impl<S, C, R, B, ResB> Waiting<S, C, R, B>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    C: Claims,
    R: Reject<ResB>,
{
    fn go_on(self, renewed: Result<Renewal<C>, RenewError>) -> State<S, C, R, B, S::Future, Response<ResB>> {
        let Self { otherwise, mut inner, mut request, layer, arrived } = self;
        let SessionLayer { engine, optional, reject } = layer;
        let (active, session) = match (renewed, otherwise) {
            (Ok(renewal), _) => {
                let active = renewal.active.clone();
                (Some(active), Handed::Renewed { renewal, engine: engine.clone(), arrived })
            }
            // The access token is still good, and neither of these says anything against it.
            (Err(RenewError::Unavailable | RenewError::Refused(Refusal::Stale)), Some(active)) => {
                (Some(active), Handed::Active)
            }
            (Err(RenewError::Refused(_)), _) if optional => (None, Handed::Nobody),
            (Err(error), _) => {
                let kind = match error {
                    RenewError::Unavailable => RejectionKind::Unavailable,
                    RenewError::Refused(refusal) => RejectionKind::Unauthenticated(refusal),
                };
                let response = rejection::respond(&reject, &RequestHead::of(&request), Rejection::new(kind));
                return State::Answered { response: Some(response) };
            }
        };
        let renewed = match &session {
            Handed::Renewed { renewal, .. } => Some(renewal.how),
            Handed::Nobody | Handed::Active => None,
        };
        request.extensions_mut().insert(match active {
            Some(active) => Slot::Session(Session { active, engine, renewed }),
            None => Slot::Anonymous,
        });
        State::Calling { future: inner.call(request), session }
    }
}

impl<C: Claims> Handed<C> {
    /// The head of the response leaves: adds the cookies that go with it, and keeps caches honest.
    fn settle(&self, headers: &mut HeaderMap) {
        match self {
            Self::Nobody => cache::vary_by_cookie(headers),
            Self::Active => cache::keep_private(headers),
            Self::Renewed { renewal, engine, arrived } => {
                let lines = engine.settle(renewal, *arrived, |name| cache::sets_cookie(headers, name));
                if lines.is_empty() {
                    return cache::keep_private(headers);
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
