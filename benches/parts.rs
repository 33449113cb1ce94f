//! What a request is made of, each part by itself: `cargo bench --bench parts --features aws_lc_rs`.
//!
//! How this crate stands beside others is told by the package in `benches/compare`, and whether a
//! change made it dearer by the one in `benches/instructions`, which counts instructions.
#![expect(clippy::expect_used, reason = "in a benchmark, that is how things fail")]

// The crate's own files, compiled here once more: what only they can see is measured by itself.
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
