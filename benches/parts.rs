//! The parts of a request, each measured separately: `cargo bench --bench parts --features aws_lc_rs`.
//!
//! The package in `benches/compare` compares this crate with others. The one in `benches/instructions`
//! counts instructions, to find regressions.
#![expect(clippy::expect_used, reason = "a failed benchmark is a panic")]

// The crate's own files, compiled here again, to measure private parts separately.
#[path = "../src/cookie/mod.rs"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "only a part of it is measured")]
mod cookie;
#[path = "../src/id.rs"]
#[expect(dead_code, unreachable_pub, reason = "only a part of it is measured")]
mod id;
#[path = "../src/protocol/mod.rs"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "only a part of it is measured")]
mod protocol;
#[path = "../src/time.rs"]
#[expect(dead_code, unnameable_types, unreachable_pub, reason = "only a part of it is measured")]
mod time;
#[path = "../src/token/mod.rs"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "only a part of it is measured")]
mod token;

#[path = "parts/bare.rs"]
mod bare;
#[path = "parts/requests.rs"]
mod requests;
#[path = "parts/tokens.rs"]
mod tokens;

fn main() {
    divan::main();
}
