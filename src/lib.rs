//! Sliding sessions for [tower] and [axum]: put one layer around a router, and a signed-in browser
//! stays signed in while it is used, never longer than you allow, and not after you said stop.
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
//!     let cookies = visitor.sign_in(&profile.name, &profile).await?; // ends the session it replaces
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
//!         .route("/login", post(login)) // everything below does not
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
//! It reads two cookies. The *access token*, a JWT for minutes, says who is calling; it is checked
//! in memory, without a store. When it has expired, is missing, or is of no use for any other
//! reason, and the *refresh token*, a JWT for hours, is good and its session was not ended, the
//! layer renews both before the handler runs, and the response carries fresh cookies. There is no
//! refresh endpoint and no code in the client.
//!
//! # What nobody else gets right
//!
//! Rotating refresh tokens finds thieves out, and almost everywhere it signs honest people out as
//! well: a browser sends ten requests with the same expired token, one rotates it, and nine look
//! like theft. Here the successor of a refresh token is provisional until it is seen in use, and
//! the old one stays good for that long. An exhaustive search over the very functions that decide
//! finds no way to sign an honest browser out, and finds one as soon as a rule is broken. See
//! [`protocol`].
//!
//! # What people ask
//!
//! - **Sign out everywhere at once?** [`Session::sign_out`] ends the session in the store, and every
//!   instance learns of it from the store's feed. What it returned from is final: no renewal in
//!   flight undoes it.
//! - **Sign out all devices, or all but this one? After a password change?**
//!   [`Sessions::revoke_all`], [`Session::revoke_others`], [`Sessions::revoke_before`].
//! - **Roles that change, users who are locked?** A [claims hook](SessionsBuilder::reload_claims) is
//!   asked at each renewal; [`Sessions::mark_stale`] makes that the next request, everywhere.
//! - **The password again before something dangerous?** [`Session::reauthenticate`], and
//!   [`Require::authenticated_within`].
//! - **Streams and WebSockets that close on sign-out?** [`Session::ended`].
//! - **A page that polls?** [`SessionLayer::passive`] keeps it from keeping its session alive.
//! - **End every session of everyone?** Restart, with the embedded store; or
//!   [`Sessions::revoke_everything`].
//! - **Only some people?** [`Require`] is a layer that looks at the claims, or wants a recent proof
//!   of who it is, or one by a certain method.
//! - **Anonymous visitors too?** [`SessionLayer::optional`], and `Option<Session<_>>` in handlers.
//! - **A sign-in page instead of a 401?** [`RedirectToLogin`], and the example `redirect`.
//! - **`fetch`, htmx, React?** There is nothing to do about tokens: see the examples `fetch`, `htmx` and
//!   `preact`.
//! - **Two applications on one host?** Give each a [realm](SessionsBuilder::realm) and
//!   [cookie names](CookieOptions::names) of its own.
//! - **Several instances, or a restart?** A [store](manual::stores) that they share: SQLite, PostgreSQL,
//!   Redis or Memcached, each one line.
//! - **Phones and API clients?** [`SessionLayer::accept_bearer`], and a token endpoint in
//!   `oauth`.
//! - **Not axum?** The layer wraps any `http` service: see [`Session::of`] and
//!   [`Sessions::visitor`], and the example `hyper`.
//!
//! The [manual] says why each default is what it is, what can go wrong, and what this crate does
//! about it.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | yes | the extractors [`Session`] and [`Visitor`], and [`SetCookies`] in responses. Not needed on bare hyper or tower |
//! | `oauth` | no | the module `oauth`: token, revocation and introspection endpoints for clients without cookies. Turns on `axum` |
//! | `tracing` | yes | every event as a `tracing` record. Not needed where [`SessionsBuilder::on_event`] is enough |
//! | `aws_lc_rs` | no | Ed25519 and ES256 keys by AWS-LC: fast, needs a C compiler |
//! | `rust_crypto` | no | the same by RustCrypto: pure Rust. With both, AWS-LC is used. HS256 needs neither |
//! | `sqlite` | no | `SqliteStore`: sessions in a file, shared by the processes of one machine. Needs Rust 1.94, as `sqlx` does |
//! | `postgres` | no | `PostgresStore`: sessions in PostgreSQL. Needs Rust 1.94, as `sqlx` does |
//! | `redis` | no | `RedisStore`: sessions in Redis or Valkey |
//! | `memcached` | no | `MemcachedStore`: sessions in Memcached, as far as a cache goes |
//! | `metrics` | no | every event as a counter of the `metrics` facade: `sliding_sessions_events_total`, by `event`, `outcome` and `realm` |
//! | `test-util` | no | `Sessions::cookie_of`, which signs a test's request in |
//! | `conformance` | no | the suite that every [store](store::SessionStore) must pass, for authors of stores |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod bearer;
mod cache;
mod claims;
mod cookie;
mod cross_site;
mod engine;
mod event;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "axum")]
mod form_post;
mod id;
pub mod manual;
mod middleware;
#[cfg(feature = "oauth")]
#[cfg_attr(docsrs, doc(cfg(feature = "oauth")))]
pub mod oauth;
mod origin;
pub mod protocol;
mod rejection;
mod request;
mod revocation;
mod session;
mod sessions;
pub mod store;
mod time;
mod token;

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use self::form_post::repost_form;
pub use self::{
    claims::{Claims, Reload},
    cookie::{CookieError, CookieOptions, SameSite},
    cross_site::OriginError,
    engine::{ChangeError, SignInError},
    event::{Event, EventKind, Renewed, Reuse, Severity},
    id::{EntropyError, ParseIdError, RunId, SessionId, SessionTag},
    middleware::{
        IntoRejectionResponse, ProblemJson, RedirectToLogin, Reject, RejectWith, Rejection, RejectionBody,
        RejectionKind, Require, RequireFuture, RequireService, ResponseBody, ResponseFuture, SessionLayer,
        SessionService, safe_next,
    },
    origin::OriginVerdict,
    request::RequestHead,
    session::{Session, SessionInfo, SetCookies, SignIn, SignOutError, Visitor},
    sessions::{BuildError, Sessions, SessionsBuilder},
    time::{Clock, ManualClock, SystemClock, Timestamp},
    token::{InvalidToken, KeyError, Keyring, MintError, PemProblem},
};
/// The crate of the traits that [`Keyring::custom`] takes.
pub use jsonwebtoken;
