//! Global token revocation (draft-parecki-oauth-global-token-revocation-06).

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{LONGEST, Signals, SubjectId, has_type};
use crate::{claims::Claims, request::RequestHead, store::StoreError};

#[derive(Deserialize)]
struct Wanted {
    sub_id: Value,
}

impl<C: Claims> Signals<C> {
    pub(super) async fn revoke_globally(self: Arc<Self>, request: Request) -> Response {
        let answer = |status: StatusCode| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            match status {
                StatusCode::UNAUTHORIZED => {
                    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                }
                _ => {}
            }
            response
        };
        let status = self.try_revoke_globally(request).await.unwrap_or_else(|status| status);
        answer(status)
    }

    async fn try_revoke_globally(&self, request: Request) -> Result<StatusCode, StatusCode> {
        let (parts, body) = request.into_parts();
        let malformed = StatusCode::BAD_REQUEST;
        if !has_type(&parts.headers, "application/json") {
            return Err(malformed);
        }
        let body = to_bytes(body, LONGEST).await.map_err(|_| malformed)?;
        let wanted: Wanted = serde_json::from_slice(&body).map_err(|_| malformed)?;
        let subject = SubjectId::of(wanted.sub_id).ok_or(malformed)?;
        let may_revoke = self.may_revoke.as_ref().ok_or(StatusCode::FORBIDDEN)?;
        may_revoke(&RequestHead::of_parts(&parts), &subject).map_err(|rejection| {
            match rejection.status() {
                StatusCode::UNAUTHORIZED => StatusCode::UNAUTHORIZED,
                StatusCode::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            }
        })?;
        match self.revoke(subject, None).await {
            Ok(true) => Ok(StatusCode::NO_CONTENT),
            Ok(false) => Err(StatusCode::NOT_FOUND),
            Err(StoreError::Unsupported(_) | StoreError::Corrupt(_)) => Err(StatusCode::UNPROCESSABLE_ENTITY),
            Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}
