//! The scan of the `Cookie` header: our cookies are found among any others, or the request is anonymous. The
//! server never fails.
#![no_main]

use http::{StatusCode, header::COOKIE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::with(|world| {
        let Some(alone) = world.get(&[(COOKIE, bytes)]) else { return };
        assert!(matches!(alone, StatusCode::OK | StatusCode::UNAUTHORIZED), "{alone}");
        let names_ours = bytes.windows(9).any(|part| part == b"__Host-ac" || part == b"__Host-re");
        let own = world.cookies.clone().into_bytes();
        let (before, after) = ([bytes, b"; ", &own].concat(), [&own, &b"; "[..], bytes].concat());
        for both in [before, after] {
            let status = world.get(&[(COOKIE, &both)]);
            if !names_ours && both.len() < 8 * 1024 {
                assert_eq!(status, Some(StatusCode::OK), "{}", both.escape_ascii());
            }
        }
    });
});
