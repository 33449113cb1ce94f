//! The verifier of tokens: of all byte strings only the minted token is accepted.
#![no_main]

use http::{StatusCode, header::COOKIE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::with(|world| send(world, bytes));
    fuzz::with_encrypted(|world| send(world, bytes));
});

fn send(world: &mut fuzz::World, bytes: &[u8]) {
    // As the whole token, and in place of each part of a valid token.
    let parts: Vec<_> = world.access.split('.').map(|part| part.as_bytes().to_vec()).collect();
    let mut tokens = vec![bytes.to_vec()];
    for at in 0..parts.len() {
        let mut parts = parts.clone();
        parts[at] = bytes.to_vec();
        tokens.push(parts.join(&b'.'));
    }
    for token in tokens {
        for name in ["__Host-access=", "__Host-refresh="] {
            let status = world.get(&[(COOKIE, &[name.as_bytes(), &token].concat())]);
            let minted = token == world.access.as_bytes()
                || world.cookies.as_bytes().windows(token.len().max(1)).any(|part| part == token);
            assert!(
                status.is_none_or(|status| minted || status == StatusCode::UNAUTHORIZED),
                "{}",
                token.escape_ascii()
            );
        }
    }
}
