//! Ports for servers that a test starts, stops and restarts.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A free port. No other test of this process gets it, and no outgoing connection takes it while its
/// server is stopped: those use ports from 32768.
pub(crate) fn free_port() -> u16 {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    // Each process starts at another port.
    let draw =
        || process::id().wrapping_mul(977).wrapping_add(DRAWN.fetch_add(1, Ordering::Relaxed)) % 20_000;
    let ports = std::iter::repeat_with(|| 12_000 + u16::try_from(draw()).unwrap_or_default());
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(1000).find(is_free).expect("a free port")
}
