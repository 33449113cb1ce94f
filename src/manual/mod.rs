//! Why things are as they are.

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("people.md")]
pub mod people {}

#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[doc = include_str!("events.md")]
pub mod events {}

#[doc = include_str!("stores.md")]
pub mod stores {}

#[doc = include_str!("performance.md")]
pub mod performance {}
