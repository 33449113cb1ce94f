use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    IntoRejectionResponse, ProblemJson, Reject, Rejection, RejectionKind, ResponseBody, ResponseFuture,
    SessionService,
    service::{Stage, rejection_response},
};
use crate::{
    claims::Claims,
    engine::{EngineId, ResponsePlan},
    protocol::Refusal,
    request::RequestHead,
    session::{Layered, Session},
};

type Rule<C> = dyn Fn(&Session<C>) -> Result<(), RejectionKind> + Send + Sync;

/// A layer that admits only some sessions: by role, by step-up. Made by
/// [`Sessions::require`](crate::Sessions::require). Put it inside the session layer of the same sessions.
/// In any other place, it answers every request with a 500 that names this mistake.
///
/// Each method adds a rule. A session must satisfy all rules.
///
/// ```
/// # #[cfg(feature = "axum")] mod example {
/// # use std::time::Duration;
/// # use axum::{Router, routing::post};
/// # use tower_sliding_sessions::Sessions;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Profile { roles: Vec<String> }
/// # async fn delete() {}
/// fn routes(sessions: &Sessions<Profile>) -> Router {
///     let admins = sessions
///         .require()
///         .claims(|profile| profile.roles.iter().any(|role| role == "admin"))
///         .authenticated_within(Duration::from_secs(60));
///     Router::new()
///         .route("/delete", post(delete))
///         .route_layer(admins)
///         .route_layer(sessions.layer())
/// }
/// # }
/// ```
#[must_use = "it is a layer: add it to routes"]
pub struct Require<C, R = ProblemJson> {
    /// The engine of the session layer whose sessions are judged.
    engine: EngineId,
    rule: Option<Arc<Rule<C>>>,
    reject: R,
}

impl<C: Claims> Require<C> {
    pub(crate) fn new(engine: EngineId) -> Self {
        Self { engine, rule: None, reject: ProblemJson }
    }
}

impl<C: Claims, R> Require<C, R> {
    /// Admits sessions whose claims satisfy `predicate`. Others get 403.
    #[doc(alias = "role")]
    pub fn claims(self, predicate: impl Fn(&C) -> bool + Send + Sync + 'static) -> Self {
        self.and(RejectionKind::Forbidden, move |session| predicate(session.claims()))
    }

    /// Admits sessions that satisfy `predicate`. Others get 403.
    pub fn session(self, predicate: impl Fn(&Session<C>) -> bool + Send + Sync + 'static) -> Self {
        self.and(RejectionKind::Forbidden, predicate)
    }

    /// Admits sessions whose user authenticated by `method` (`amr` of RFC 8176), such as `otp`, at sign-in or at
    /// the last [re-authentication](Session::reauthenticate). Others get 403 of the kind
    /// [`MethodRequired`](RejectionKind::MethodRequired).
    #[doc(alias = "mfa")]
    pub fn method(self, method: impl Into<String>) -> Self {
        let method = method.into();
        self.and(RejectionKind::MethodRequired, move |session| session.methods().contains(&method))
    }

    /// Admits sessions whose user last authenticated by `method`, and at most `age` ago: for example by an `otp`, in
    /// the last five minutes. Others get 403, as by [`method`](Self::method) or
    /// [`authenticated_within`](Self::authenticated_within).
    pub fn method_within(self, method: impl Into<String>, age: Duration) -> Self {
        let method = method.into();
        self.and(RejectionKind::MethodRequired, move |session| session.last_methods().contains(&method))
            .authenticated_within(age)
    }

    /// Admits sessions whose user authenticated at most `age` ago, at sign-in or
    /// [later](Session::reauthenticate). Others get 403 of the kind
    /// [`ReauthenticationRequired`](RejectionKind::ReauthenticationRequired): a front end then asks for the
    /// password again.
    #[doc(alias = "step-up")]
    #[doc(alias = "sudo")]
    pub fn authenticated_within(self, age: Duration) -> Self {
        self.and(RejectionKind::ReauthenticationRequired, move |session| session.authenticated_within(age))
    }

    /// Admits requests whose token has this scope (RFC 6749, section 3.3). Others get 403. Access tokens of sessions
    /// have no scope, so they get 403, too. For [`Verifier`](crate::Verifier).
    #[cfg(feature = "verify")]
    #[cfg_attr(docsrs, doc(cfg(feature = "verify")))]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        let scope = scope.into();
        self.and(RejectionKind::Forbidden, move |session| session.has_scope(&scope))
    }

    /// Adds a rule: if `admits` returns false for a session, the request is rejected with `otherwise`.
    fn and(
        self,
        otherwise: RejectionKind,
        admits: impl Fn(&Session<C>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let earlier_rules = self.rule;
        let rule = move |session: &Session<C>| {
            earlier_rules.as_ref().map_or(Ok(()), |rules| rules(session))?;
            admits(session).then_some(()).ok_or(otherwise)
        };
        Self { rule: Some(Arc::new(rule)), ..self }
    }
}

impl<C, R> Require<C, R> {
    /// Writes the responses to rejected requests by a closure, as
    /// [`SessionLayer::with_rejection`](super::SessionLayer::with_rejection).
    pub fn with_rejection<F, A>(self, reject: F) -> Require<C, F>
    where
        F: Fn(Rejection, &RequestHead<'_>) -> A + Clone,
        A: IntoRejectionResponse,
    {
        self.with_reject(reject)
    }

    /// Writes the responses to rejected requests by a type, as
    /// [`SessionLayer::with_reject`](super::SessionLayer::with_reject).
    pub fn with_reject<R2: Reject + Clone>(self, reject: R2) -> Require<C, R2> {
        Require { engine: self.engine, rule: self.rule, reject }
    }
}

impl<C, R: Clone> Clone for Require<C, R> {
    fn clone(&self) -> Self {
        Self { engine: self.engine, rule: self.rule.clone(), reject: self.reject.clone() }
    }
}

impl<C, R> fmt::Debug for Require<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require").finish_non_exhaustive()
    }
}

impl<S, C, R: Clone> Layer<S> for Require<C, R> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, layer: self.clone() }
    }
}

impl<S, C, R, B, ResB> Service<Request<B>> for SessionService<S, Require<C, R>>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    C: Claims,
    R: Reject,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, R, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Require { engine, rule, reject } = &self.layer;
        let verdict = match Layered::<C>::session_of(request.extensions(), *engine) {
            Ok(Some(session)) => rule.as_ref().map_or(Ok(()), |rule| rule(session)),
            Ok(None) => Err(RejectionKind::Unauthenticated(Refusal::NoToken)),
            Err(why) => {
                why.report::<C>("Require");
                Err(RejectionKind::RequireOutsideLayer)
            }
        };
        let stage = match verdict {
            Ok(()) => Stage::Handler { future: self.inner.call(request), plan: ResponsePlan::NotRenewed },
            Err(kind) => Stage::rejected(rejection_response(reject, &request, kind)),
        };
        ResponseFuture { stage, common_headers: None }
    }
}
