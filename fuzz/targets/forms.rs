//! The forms of the token and revocation endpoints: never a failure of the server, and no token for nothing.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::with(|world| {
        let token = world.post("/oauth/token", bytes);
        assert!(
            matches!(
                token,
                StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::PAYLOAD_TOO_LARGE
            ),
            "{token}"
        );
        let revoked = world.post("/oauth/revoke", bytes);
        assert!(
            matches!(revoked, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE),
            "{revoked}"
        );
    });
});
