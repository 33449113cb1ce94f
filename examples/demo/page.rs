//! The page: one file, without token code.

use std::sync::Arc;

use axum::response::{Html, IntoResponse};
use serde_json::json;
use tower_sliding_sessions::protocol::Policy;

/// The page with the current timing.
pub(crate) fn render(policy: &Policy) -> Arc<str> {
    let timing = policy.timing();
    let timing = json!({
        "access_ttl": timing.access_ttl.as_secs_f64(),
        "idle": timing.idle_timeout.as_secs_f64(),
        "absolute": timing.absolute_timeout.as_secs_f64(),
        "grace": timing.grace.as_secs_f64(),
        "write_window": timing.write_window.as_secs_f64(),
        "rotation_interval": timing.rotation_interval.as_secs_f64(),
        "renew_before": policy.renew_before().as_secs_f64(),
    });
    include_str!("page.html").replace("__TIMING__", &timing.to_string()).into()
}

pub(crate) async fn show(page: Arc<str>) -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let headers = [
        ("content-security-policy", policy),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ];
    (headers, Html(page.as_ref().to_owned()))
}
