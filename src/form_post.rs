//! Forms that another site posts: for example, the responses of identity providers.

use std::sync::OnceLock;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::{cross_site, engine::forbid_caching};

/// The longest form that is posted again, in bytes. A SAML response has some 10 KB.
const LONGEST: usize = 256 * 1024;

/// A field that the second form has. The field prevents an endless loop: old browsers behind a proxy that rewrites
/// `Host` would post the form again and again.
const MARK: &str = "posted_again";

const SCRIPT: &str = "document.forms[0].submit()";

/// Middleware for a route to which another site posts a form. Examples are the `form_post` of Sign in with Apple and of
/// OpenID Connect, and the POST binding of SAML. Add the middleware to **that route only**.
///
/// Browsers do not send `SameSite=Lax` cookies with such a request, and a [`Visitor`](crate::Visitor) refuses the
/// request as cross-site. So this middleware answers with a page that posts the same form again, from this site to the
/// same address. The second request carries the cookies. So the handler gets its `state` cookie, and a sign-in replaces
/// the session that the browser had. All other requests pass through.
///
/// ```
/// use axum::{Form, Router, middleware::from_fn, routing::post};
/// use tower_sliding_sessions::{Rejection, Sessions, SetCookies, Visitor, repost_form};
///
/// #[derive(serde::Deserialize)]
/// struct Answer { id_token: String, state: String }
///
/// async fn callback(visitor: Visitor, Form(answer): Form<Answer>) -> Result<SetCookies, Rejection> {
///     // Compare `answer.state` with this browser's cookie, and verify `answer.id_token` here.
/// #   let subject = answer.id_token;
///     Ok(visitor.sign_in(subject, ()).await?)
/// }
///
/// # fn router(sessions: Sessions) -> Router {
/// Router::new().route("/callback", post(callback).layer(from_fn(repost_form))).with_state(sessions)
/// # }
/// ```
///
/// A session layer around the route would refuse the first request, so keep the route outside of session layers.
///
/// # Security
/// Any site can post to this route. Before the sign-in begins, the application must bind a `state` to this browser, in
/// a cookie. The handler must compare the `state` of the form with this cookie. Otherwise, an attacker can sign users
/// in to the attacker's account. Other routes keep their protection.
#[doc(alias = "form_post")]
pub async fn repost_form(request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let is_ours = cross_site::is_allowed(method, uri, headers, &cross_site::TrustedOrigins::default());
    if is_ours || method != http::Method::POST || !is_form(headers) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if form_urlencoded::parse(&body).any(|(name, _)| name == MARK) {
        return next.run(Request::from_parts(parts, Body::from(body))).await;
    }
    let mut response = Response::new(Body::from(page(&body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.extend(policy().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    forbid_caching(headers);
    response
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The page that posts `form` again. The form has no `action`, so the browser posts it to the address of the page.
fn page(form: &[u8]) -> String {
    let mut page =
        String::from("<!doctype html><meta charset=utf-8><title>One moment</title><form method=post>");
    let mark = [(MARK.into(), "1".into())];
    for (name, value) in form_urlencoded::parse(form).chain(mark) {
        for part in ["<input type=hidden name=\"", &escape(&name), "\" value=\"", &escape(&value), "\">"] {
            page.push_str(part);
        }
    }
    page + "<noscript><button>Continue</button></noscript></form><script>" + SCRIPT + "</script>"
}

/// A content security policy that allows only the script of this page, and no script in the form.
fn policy() -> Option<HeaderValue> {
    static POLICY: OnceLock<Option<HeaderValue>> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let hash = STANDARD.encode(Sha256::digest(SCRIPT));
        let text = format!(
            "default-src 'none'; script-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(text).ok()
    });
    policy.clone()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Escape line ends, because an HTML parser changes unescaped line ends.
            '\r' => escaped.push_str("&#13;"),
            '\n' => escaped.push_str("&#10;"),
            other => escaped.push(other),
        }
    }
    escaped
}
