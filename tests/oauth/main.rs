//! Clients that keep their tokens themselves: bearer tokens on the layer, and the endpoints of the
//! module `oauth`. Nothing sleeps: the clock moves when it is told to, and so does the store.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "whatever goes wrong in a test had better stop it"
)]

mod support;

mod bearer;
mod blind;
mod challenge;
mod elsewhere;
mod exchange;
mod form;
mod grant;
mod introspect;
mod new_key;
mod outage;
mod revoke;
