//! The proof that legitimate clients stay signed in and attackers are found out.
//!
//! The protocol's own functions are driven through every world that a browser, a network that
//! delays, reorders and loses, handlers that take their time, and perhaps an attacker can bring about
//! within small bounds. A search that finds nothing proves little unless it can find something, so
//! each rule is broken in turn, and each time there must be a way to a failure.
//!
//! What the small worlds bound or forget, browsers at random do not: they run in real time, with
//! the durations that people use, and with a dozen messages in flight.
//!
//! `cargo test --test proof -- --nocapture` tells how many worlds there were, and how each broken
//! rule fails.
//!
//! | letter | meaning |
//! |---|---|
//! | `D` | the longest that a request or a response is on its way |
//! | `S` | how far the instances' clocks are apart |
//! | `G` | the grace: how long a predecessor is good after its successor was confirmed |
//! | `W` | the write window: how long after its arrival a request may write cookies |
//! | `M` | the rotation interval: from a confirmation to the next rotation |
//! | `C` | the crash window: how far the browser's cookies may go back when it crashes |
//! | `L` | how late a request with a body may arrive |

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "whatever goes wrong in a proof had better stop it"
)]

mod attacker;
mod bound;
mod broken;
mod browser;
mod crash;
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
