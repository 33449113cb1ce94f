//! With `TEST_DEVICE_BOUND`, tests run with device-bound sessions turned on. Their browsers bind none.

use tower_sliding_sessions::{Claims, SessionsBuilder};

pub(crate) fn device_bound<C: Claims>(builder: SessionsBuilder<C>) -> SessionsBuilder<C> {
    #[cfg(all(feature = "device-bound", feature = "test-util"))]
    if std::env::var_os("TEST_DEVICE_BOUND").is_some() {
        let settings = tower_sliding_sessions::DeviceBound::new("/auth/device");
        return builder.device_bound(settings.short_lifetimes_for_tests());
    }
    builder
}
