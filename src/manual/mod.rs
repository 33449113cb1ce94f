//! The manual: defaults, threats, common questions, deployment, events, stores, performance.

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("threats.md")]
pub mod threats {}

/// Single sign-on, OpenID Connect, JWKS and impersonation are not part of this crate yet.
#[doc(alias = "sso")]
#[doc(alias = "oidc")]
#[doc(alias = "jwks")]
#[doc(alias = "impersonate")]
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
