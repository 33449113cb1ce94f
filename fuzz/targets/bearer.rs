//! The `Authorization` header: 200 only for the minted token, else 400 or 401.
#![no_main]

use http::{StatusCode, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::with(|world| {
        let access = world.access.clone();
        for value in [bytes.to_vec(), [b"Bearer ", bytes].concat()] {
            let Some(status) = world.get(&[(AUTHORIZATION, &value)]) else { continue };
            match status {
                StatusCode::OK => assert!(value.windows(access.len()).any(|part| part == access.as_bytes())),
                StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {}
                other => panic!("{other} for {}", value.escape_ascii()),
            }
        }
    });
});
