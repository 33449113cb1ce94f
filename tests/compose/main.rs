//! The session layer in tower stacks: inside and outside the layers of tower-http and tower, around
//! services with bodies of any kind. Each stack must compile, serve a session, renew one, and reject a
//! request without one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod bodies;
#[path = "../support/device_bound.rs"]
mod device_bound;
mod rejections;
mod routers;
mod stacks;
mod subjects;
mod support;
