//! The document, and what all routes share.

use serde::Deserialize;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(title = "An application with sessions"),
    paths(
        crate::login,
        crate::me,
        crate::sessions::list,
        crate::sessions::revoke,
        crate::sessions::revoke_others,
        crate::sessions::revoke_all,
        crate::sessions::sign_out,
    ),
    modifiers(&Cookies)
)]
pub(crate) struct Document;

/// The cookies of a session. A request needs one of the two: the refresh token renews the access token.
struct Cookies;

impl Modify for Cookies {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemes = [
            ("access", "__Host-access", "The access token. Valid for minutes."),
            ("refresh", "__Host-refresh", "The refresh token. Renews both tokens in the same request."),
        ];
        let components = document.components.get_or_insert_default();
        for (name, cookie, description) in schemes {
            let value = ApiKeyValue::with_description(cookie, description);
            components.add_security_scheme(name, SecurityScheme::ApiKey(ApiKey::Cookie(value)));
        }
    }
}

/// Why a request was refused (RFC 9457).
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct Problem {
    r#type: String,
    title: String,
    status: u16,
}
