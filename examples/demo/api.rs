//! Clients without cookies: a token endpoint, and bearer tokens at every route.

use axum::Router;
use tower_sliding_sessions::oauth::{Grant, GrantError, OAuth};

use super::App;

/// `/token`, `/revoke` and `/introspect`. There is no password here either. Any client that claims to be
/// the demo may introspect.
pub(crate) fn router(app: &App) -> Router<App> {
    let users = app.users.clone();
    OAuth::new(&app.sessions)
        .grant("password", move |request| {
            let users = users.clone();
            async move {
                let name = request.username()?;
                if name.len() > 64 {
                    return Err(GrantError::InvalidGrant);
                }
                let profile = users.profile(name, None).ok_or(GrantError::InvalidGrant)?;
                Ok(Grant::new(name, profile).by(["demo"]))
            }
        })
        .introspection(|request| request.headers.contains_key("demo-introspects"))
        .router()
}
