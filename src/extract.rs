//! Extractors and responses for axum: the session, the visitor, the cookies and the errors.

use std::sync::Arc;

use axum_core::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::request::Parts;

use crate::{
    claims::Claims,
    engine::{ChangeError, SignInError},
    middleware::Rejection,
    request::RequestHead,
    session::{Layered, Misplaced, Session, SetCookies, SignOutError, Visitor},
    sessions::Sessions,
    store::StoreError,
};

/// The session of a request that came through the layer. A request without a session gets 401.
///
/// If the route is within no session layer, or within a layer with another claims type, the request gets a 500 that
/// says what to change. If layers of several realms with the same claims type are nested, see [`Session::of`].
impl<C: Claims, S: Sync> FromRequestParts<S> for Session<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let session = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        session.ok_or(Rejection::unauthenticated())
    }
}

/// `None` for an anonymous request that an optional layer accepted.
impl<C: Claims, S: Sync> OptionalFromRequestParts<S> for Session<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        let found = Layered::session(&parts.extensions).inspect_err(|why| why.report::<C>("Session"));
        Ok(found?.cloned())
    }
}

/// The sender of a request, inside a layer or outside. A request with an unsafe method from another origin gets 403,
/// unless the origin is trusted.
///
/// If the route is only within layers of other realms with the same claims type, the request gets 500. Reason: a
/// [`Session`] in the same handler would be a session of another realm.
impl<C: Claims, S: Sync> FromRequestParts<S> for Visitor<C>
where
    Sessions<C>: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let sessions = Sessions::<C>::from_ref(state);
        if let Err(why @ Misplaced::OtherRealm) =
            Layered::<C>::session_of(&parts.extensions, sessions.engine.id)
        {
            why.report::<C>("Visitor");
            return Err(why.into());
        }
        Ok(Self::new((*sessions.engine).clone(), &RequestHead::of_parts(parts))?)
    }
}

/// For a router with the state `Arc<App>`: if `Sessions<C>: FromRef<App>`, then [`Visitor`] is an extractor for
/// `Arc<App>`, too.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::{Router, extract::FromRef, routing::post};
/// use tower_sliding_sessions::{Rejection, Sessions, SetCookies, Visitor};
///
/// struct App {
///     sessions: Sessions,
/// }
///
/// impl FromRef<App> for Sessions {
///     fn from_ref(app: &App) -> Self {
///         app.sessions.clone()
///     }
/// }
///
/// async fn login(visitor: Visitor) -> Result<SetCookies, Rejection> {
///     Ok(visitor.sign_in(7, ()).await?)
/// }
///
/// # fn router(sessions: Sessions) -> Router {
/// Router::new().route("/login", post(login)).with_state(Arc::new(App { sessions }))
/// # }
/// ```
impl<C, T> FromRef<Arc<T>> for Sessions<C>
where
    Self: FromRef<T>,
{
    fn from_ref(state: &Arc<T>) -> Self {
        Self::from_ref(&**state)
    }
}

impl IntoResponseParts for SetCookies {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        self.apply(parts.headers_mut());
        Ok(parts)
    }
}

impl IntoResponse for SetCookies {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

/// Implements `IntoResponse` for errors, so that a handler can return them.
macro_rules! into_response {
    ($($error:ty),*) => {
        $(impl IntoResponse for $error {
            fn into_response(self) -> Response {
                Rejection::from(self).into_response()
            }
        })*
    };
}

into_response!(ChangeError, SignInError, SignOutError, StoreError);

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.into_http()
    }
}
