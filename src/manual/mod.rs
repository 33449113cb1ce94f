//! The manual: what you look up. Defaults, threats, deployment, events, stores, scaling, performance. For tasks, with
//! samples, see the [guide](crate::guide).

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[doc = include_str!("events.md")]
pub mod events {}

#[doc = include_str!("stores.md")]
pub mod stores {}

#[doc = include_str!("scaling.md")]
pub mod scaling {}

#[doc = include_str!("performance.md")]
pub mod performance {}
