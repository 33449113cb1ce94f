//! The search for a sequence of messages that signs a legitimate client out, or does not detect an attacker.
//!
//! The protocol's own functions run through every state that a browser, a network that delays, reorders
//! and loses messages, slow handlers, and an attacker can reach within small bounds. To show that the
//! search can find a failure, each rule is broken in turn, and each time it must find one.
//!
//! Random browsers cover what the small worlds bound or leave out: they run in real time, with the
//! durations used in production, and with a dozen messages in flight.
//!
//! `cargo test --test search -- --nocapture` prints the number of worlds, and how each broken rule fails.
//!
//! | letter | meaning |
//! |---|---|
//! | `D` | the longest time that a request or a response is in transit |
//! | `S` | the difference between the instances' clocks |
//! | `G` | the grace period: how long a predecessor is valid after its successor was confirmed |
//! | `W` | the write window: how long after its arrival a request may write cookies |
//! | `M` | the rotation interval: from a confirmation to the next rotation |
//! | `C` | the crash window: how far the browser's cookies may go back when it crashes |
//! | `L` | the setting for requests with a body: how late they may arrive |
//! | `B` | the longest time that a request with a body is in transit |

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step must stop the search"
)]

mod attacker;
mod bound;
mod broken;
mod browser;
mod crash;
mod device;
mod exchange;
mod late_body;
mod model;
mod random;
mod real_time;
mod reuse;
mod rules;
mod search;
mod step;
mod token_client;
mod world;
