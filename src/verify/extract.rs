//! Axum extractors for the verified token.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::Verified;
use crate::{claims::Claims, middleware::Rejection, session::Layered};

/// The verified token of a request that came through the layer. The response to an anonymous request is 401. If no
/// layer is around the handler, or only a layer with another claims type, the response is a 500 that says what to
/// change.
impl<C: Claims, S: Sync> FromRequestParts<S> for Verified<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let found = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        found.ok_or(Rejection::unauthenticated())
    }
}

/// `None` for an anonymous request that an optional layer let through.
impl<C: Claims, S: Sync> OptionalFromRequestParts<S> for Verified<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        let found = Layered::readable(&parts.extensions).inspect_err(|why| why.report::<C>("Verified"));
        Ok(found?.map(Self::found))
    }
}
