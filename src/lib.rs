//! Sliding sessions for [tower] and [axum]: put one layer around a router. A signed-in user stays signed in while
//! using the application. A session ends at the idle timeout, at the absolute timeout, or when it is revoked.
//!
//! New here? The [quick start](guide::quick_start) is a whole application, and the [guide] has a page for each task.
//!
//! ```no_run
//! # #[cfg(feature = "axum")] mod example {
//! use axum::{Json, Router, response::IntoResponse, routing::{get, post}};
//! use serde::{Deserialize, Serialize};
//! use tower_sliding_sessions::{Keyring, Rejection, Session, Sessions, SetCookies, Visitor};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Profile { name: String }
//!
//! async fn login(visitor: Visitor<Profile>, Json(profile): Json<Profile>) -> Result<impl IntoResponse, Rejection> {
//!     // Check a password here.
//!     let cookies = visitor.sign_in(&profile.name, &profile).await?; // revokes the session it replaces
//!     Ok((cookies, Json(profile)))
//! }
//!
//! async fn me(session: Session<Profile>) -> Json<Profile> {
//!     Json(session.claims().clone())
//! }
//!
//! async fn logout(session: Session<Profile>) -> Result<SetCookies, Rejection> {
//!     Ok(session.sign_out().await?)
//! }
//!
//! pub fn app(secret: &[u8]) -> Result<Router, Box<dyn std::error::Error>> {
//!     let sessions = Sessions::<Profile>::builder(Keyring::hs256(secret)?).build()?;
//!     Ok(Router::new()
//!         .route("/me", get(me))
//!         .route("/logout", post(logout))
//!         .route_layer(sessions.layer()) // the routes above need a session, and keep it alive
//!         .route("/login", post(login)) // the routes below do not
//!         .with_state(sessions))
//! }
//! # }
//! ```
//!
//! [tower]: https://docs.rs/tower
//! [axum]: https://docs.rs/axum
//!
//! # What the layer does
//!
//! It reads two cookies. The *access token* is a JWT that is valid for minutes and is checked in memory. The
//! *refresh token* is a JWT that is valid for hours. If the access token has expired, is missing or cannot be
//! used, the refresh token decides: if it is valid and its session is not revoked, the layer renews the
//! session before the handler runs, and sets new cookies on the same response. There is no refresh endpoint
//! and no client code.
//!
//! Each renewal rotates the refresh token if a rotation is due. A new refresh token is *provisional* until a request
//! shows that the client has kept it, so parallel requests, lost responses and crashed browsers do not look like
//! refresh token reuse. [`protocol`] has the rules, and what an exhaustive search shows about them.
//!
//! # What you want, and what to use
//!
//! | you want | use |
//! |---|---|
//! | sign out (logout), on every instance | [`Session::sign_out`], [`Visitor::sign_out`] |
//! | sign out all devices, or all others | [`Sessions::revoke_all`], [`Session::revoke_others`] |
//! | revoke sessions after a password change | by the user: [`Session::revoke_others`]; by an administrator: [`Sessions::revoke_before`] |
//! | revoke all sessions of all users at once | [`Sessions::revoke_everything`]; with the memory store, a restart |
//! | a "your devices" page | [`Sessions::list`], [`Sessions::revoke`], or the ready-made `Sessions::routes` |
//! | roles that change, users who are locked | a [claims reload hook](SessionsBuilder::reload_claims); [`Sessions::mark_stale`] makes it run at the next request |
//! | routes for some roles only | [`Require::claims`] |
//! | step-up: the password or a second factor again | [`Session::reauthenticate`], [`Require::authenticated_within`], [`Require::method`] |
//! | "remember me" | [`SignIn::remember_me`] |
//! | idle and absolute timeout | [`Timing`](protocol::Timing), or one sign-in's [`SignIn::idle_timeout`] |
//! | anonymous visitors | [`SessionLayer::optional`], and `Option<Session<_>>` in handlers |
//! | a sign-in page instead of 401; a page that asks for the password again | [`RedirectToLogin`], [`RedirectToReauthentication`], examples `redirect` and `step_up` |
//! | streams and WebSockets that close on sign-out | [`Session::ended`] |
//! | a page that polls and does not keep its session alive | [`SessionLayer::passive`] |
//! | `fetch`, htmx, React | nothing: front ends never handle a token. Examples `fetch`, `htmx`, `preact` |
//! | services that verify without the secret | `Verifier`: [services that only verify](guide::verifying_services) |
//! | to let an identity provider sign users out, by CAEP or global token revocation | the feature `signals` |
//! | to call another service for the user | [`Session::token_for`]: [tokens for other services](guide::service_tokens) |
//! | "sign in with …": an OpenID Connect provider, with sign-out at both | the module `oidc`, [guide](guide::single_sign_on), example `single_sign_on` |
//! | phones and API clients | [`SessionLayer::accept_bearer`], and the token endpoint in `oauth` |
//! | several instances, or sessions that survive a restart of the application | a [store](manual::stores): SQLite, PostgreSQL, Redis or Memcached |
//! | passkeys (WebAuthn) | [`Visitor::sign_in`] and [`Session::reauthenticate`] after the check; package `examples/passkeys` |
//! | Leptos, Dioxus | packages `examples/leptos`, `examples/dioxus` |
//! | rate limits by user; gRPC; OpenAPI | packages `examples/governor`, `examples/tonic`, `examples/openapi` |
//! | to use your `PgPool` or Redis client | `PostgresStore::new`, `RedisStore::new`, example `existing_clients` |
//! | protection against copied cookies, by a key of the browser's device | `SessionsBuilder::device_bound`: [device-bound sessions](guide::device_bound) |
//! | to hide what the cookies carry | `CookieOptions::encrypted`: [encrypted cookies](guide::encrypted_cookies) |
//! | the tokens that a provider gave to a user (Google, GitHub, Facebook) | the module `vault`, [guide](guide::provider_tokens) |
//! | two applications on one host | a [realm](SessionsBuilder::realm) and [cookie names](CookieOptions::names) for each |
//! | hyper or tower without axum | [`Session::of`], [`Sessions::visitor`], example `hyper` |
//!
//! The guide also has [answers to questions](guide::questions), a [security page](guide::security) by standard, and
//! [troubleshooting](guide::troubleshooting). The [manual] has the defaults with their reasons, the threats, the
//! stores and the events.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | yes | the extractors [`Session`] and [`Visitor`], and [`SetCookies`] in responses. Not needed on bare hyper or tower |
//! | `oauth` | no | the module `oauth`: token, revocation and introspection endpoints for clients without cookies. Turns on `axum` |
//! | `jwks` | no | `Sessions::jwks_routes`: the public keys and their address, for services that verify access tokens. Turns on `axum` |
//! | `oidc` | no | the module `oidc`: sign-in and sign-out through an OpenID Connect provider, by the crate `openidconnect`. Turns on `axum` and `rust_crypto`. Bring an `HttpClient`, or turn on `reqwest` |
//! | `vault` | no | the module `vault`: a provider's own tokens (Google, GitHub, Facebook), sealed in the store and renewed by one request. Turns on `rust_crypto` |
//! | `device-bound` | no | `DeviceBound`: sessions that are bound to the browser's device (Device Bound Session Credentials). Turns on `axum` and `rust_crypto` |
//! | `signals` | no | the module `signals`: global token revocation, and security events (CAEP). Turns on `axum` |
//! | `tracing` | yes | every event as a `tracing` record. Not needed where [`SessionsBuilder::on_event`] is enough |
//! | `aws_lc_rs` | no | Ed25519 and ES256 keys by AWS-LC: fast, needs a C compiler |
//! | `rust_crypto` | no | the same by RustCrypto: pure Rust. With both, AWS-LC is used. HS256 needs neither |
//! | `verify` | no | `Verifier`: a layer for [services that only verify](guide::verifying_services), with public keys. They need neither the secret nor a store. Needs `aws_lc_rs` or `rust_crypto` |
//! | `reqwest` | no | `ReqwestClient`: an HTTP client for requests to identity providers and issuers, by `reqwest` with rustls. An application can bring its own `HttpClient` |
//! | `sqlite` | no | `SqliteStore`: sessions in a file, shared by the processes of one machine. Needs Rust 1.94, as `sqlx` does |
//! | `postgres` | no | `PostgresStore`: sessions in PostgreSQL. Needs Rust 1.94, as `sqlx` does |
//! | `postgres_tls` | no | the same with TLS to the server, by rustls with AWS-LC |
//! | `redis` | no | `RedisStore`: sessions in Redis or Valkey, with Sentinel and Cluster |
//! | `redis_tls` | no | the same with TLS to the server (`rediss://`), by rustls with AWS-LC |
//! | `memcached` | no | `MemcachedStore`: sessions in Memcached, with the limits of a cache |
//! | `metrics` | no | counts every event with the `metrics` facade: the counter `sliding_sessions_events_total`, with the labels `event`, `outcome` and `realm` |
//! | `test-util` | no | `Sessions::cookie_of`, which makes the cookies of a signed-in user for a test, and `CookieJar`, which keeps cookies as a browser does |
//! | `conformance` | no | the suite that every [store](store::SessionStore) must pass, for authors of stores |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(feature = "verify", not(any(feature = "aws_lc_rs", feature = "rust_crypto"))),
    expect(dead_code, unused_imports, reason = "the layer that only verifies needs one of the two")
)]

mod backend;
mod bearer;
mod claims;
mod cookie;
#[cfg(feature = "test-util")]
mod cookie_jar;
mod cross_site;
mod device_binding;
#[cfg(feature = "device-bound")]
mod device_bound;
mod engine;
mod event;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "axum")]
mod form_post;
pub mod guide;
#[cfg(any(feature = "oidc", feature = "reqwest", feature = "vault", feature = "verify"))]
mod http_client;
mod id;
#[cfg(feature = "jwks")]
mod jwks;
mod key_file;
pub mod manual;
mod middleware;
#[cfg(feature = "oauth")]
#[cfg_attr(docsrs, doc(cfg(feature = "oauth")))]
pub mod oauth;
#[cfg(feature = "oidc")]
#[cfg_attr(docsrs, doc(cfg(feature = "oidc")))]
pub mod oidc;
mod origin;
mod per_thread;
#[doc(alias = "refresh token")]
#[doc(alias = "rotation")]
pub mod protocol;
mod rejection;
mod request;
mod revocation;
#[cfg(feature = "axum")]
mod routes;
mod session;
mod sessions;
#[cfg(feature = "signals")]
#[cfg_attr(docsrs, doc(cfg(feature = "signals")))]
pub mod signals;
pub mod store;
mod time;
mod timer;
mod token;
#[cfg(feature = "vault")]
#[cfg_attr(docsrs, doc(cfg(feature = "vault")))]
pub mod vault;
#[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
mod verify;

#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub use self::cookie_jar::CookieJar;
#[cfg(feature = "device-bound")]
#[cfg_attr(docsrs, doc(cfg(feature = "device-bound")))]
pub use self::device_binding::{DeviceBound, DeviceBoundError};
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use self::form_post::repost_form;
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use self::http_client::ReqwestClient;
#[cfg(any(feature = "oidc", feature = "reqwest", feature = "vault", feature = "verify"))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(feature = "oidc", feature = "reqwest", feature = "vault", feature = "verify")))
)]
pub use self::http_client::{HttpClient, HttpClientError, ResponseLimit};
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
pub use self::token::PublicKey;
#[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
#[cfg_attr(docsrs, doc(cfg(feature = "verify")))]
pub use self::verify::{Verified, Verifier, VerifierBuilder};
pub use self::{
    claims::{Claims, Reload},
    cookie::{CookieError, CookieOptions},
    engine::{ChangeError, SignInError},
    event::{Event, EventKind, Renewed, Reuse, Severity},
    id::{RunId, SessionId},
    key_file::{KeyFile, KeyFileError, KeySource},
    middleware::{
        IntoRejectionResponse, ProblemJson, RedirectToLogin, RedirectToReauthentication, Reject, Rejection,
        RejectionBody, RejectionKind, Require, ResponseBody, ResponseFuture, SessionLayer, SessionService,
        safe_next,
    },
    origin::OriginVerdict,
    request::RequestHead,
    session::{Session, SessionInfo, SetCookies, SignIn, SignOutError, TokenFor, Visitor},
    sessions::{BuildError, Sessions, SessionsBuilder},
    time::{Clock, ManualClock, SystemClock, Timestamp},
    token::{InvalidToken, KeyError, KeyInfo, KeyStep, Keyring, MintError, ServiceTokenError},
};
/// The crate of the traits that [`Keyring::custom`] takes.
pub use jsonwebtoken;
