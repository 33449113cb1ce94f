//! Ports for servers that a test starts, stops and starts again.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::TcpListener,
};

/// A port that is free, and that no outgoing connection is given by chance while its server is
/// stopped: those begin at 32768.
pub(crate) fn free_port() -> u16 {
    let draw = || u16::try_from(RandomState::new().hash_one(()) % 20_000).unwrap_or_default();
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| 12_000 + draw()).take(100).find(is_free).expect("a free port")
}
