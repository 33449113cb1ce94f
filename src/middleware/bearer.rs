//! What a layer that accepts bearer tokens adds to every response.

use http::{HeaderValue, Response, StatusCode, header};

use super::{Rejection, RejectionKind};
use crate::cache;

/// Adds the challenge to a rejection (RFC 6750, section 3), and `Vary`.
pub(super) fn finish<B>(response: &mut Response<B>) {
    cache::vary_by_authorization(response.headers_mut());
    let kind = response.extensions().get().map(Rejection::kind);
    let challenge = match kind {
        Some(RejectionKind::InvalidBearer(_)) => r#"Bearer error="invalid_token""#,
        Some(RejectionKind::MalformedBearer) => r#"Bearer error="invalid_request""#,
        // RFC 6750, section 3.1, and RFC 9470, section 3. The status stays 403, as for a request with cookies.
        Some(RejectionKind::Forbidden) => r#"Bearer error="insufficient_scope""#,
        Some(RejectionKind::ReauthenticationRequired | RejectionKind::MethodRequired) => {
            r#"Bearer error="insufficient_user_authentication""#
        }
        // No error code for a request without credentials.
        Some(RejectionKind::Unauthenticated(_)) if response.status() == StatusCode::UNAUTHORIZED => "Bearer",
        _ => return,
    };
    let headers = response.headers_mut();
    // A challenge of the application stays.
    if headers.get(header::WWW_AUTHENTICATE).is_none_or(|ours| ours == "Cookie") {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
}
