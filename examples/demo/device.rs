//! Sessions that are bound to the browser's device, if this build has the feature `device-bound`.

use std::time::Duration;

use axum::Router;
use tower_sliding_sessions::SessionsBuilder;

use super::{App, Profile};

/// Binds sessions where the browser can. The demo's short lifetimes are too short for a browser's limit of signatures,
/// so they need the feature `test-util`. Without it, this does nothing if access tokens live less than 4 minutes.
#[cfg(feature = "device-bound")]
pub(crate) fn bind(builder: SessionsBuilder<Profile>, access_ttl: Duration) -> SessionsBuilder<Profile> {
    let settings = tower_sliding_sessions::DeviceBound::new("/device");
    #[cfg(feature = "test-util")]
    let settings = settings.short_lifetimes_for_tests();
    match access_ttl >= Duration::from_secs(240) || cfg!(feature = "test-util") {
        true => builder.device_bound(settings),
        false => builder,
    }
}

#[cfg(not(feature = "device-bound"))]
pub(crate) fn bind(builder: SessionsBuilder<Profile>, _: Duration) -> SessionsBuilder<Profile> {
    builder
}

/// Where browsers register and prove their keys.
pub(crate) fn routes(app: &App) -> Router<App> {
    #[cfg(feature = "device-bound")]
    return app.sessions.device_bound_routes();
    #[cfg(not(feature = "device-bound"))]
    {
        let _ = app;
        Router::new()
    }
}
