//! Session middleware for [tower] and [axum], with sliding sessions: put one layer around a router, and a signed-in
//! user stays signed in while using the application. A session ends at the idle timeout, at the absolute timeout, or
//! when it is revoked.
//!
//! New here? The [quick start](guide::quick_start) is a whole application. The [guide] has a page for each task.
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
//!     let cookies = visitor.sign_in(&profile.name, &profile).await?; // revokes this browser's old session
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
//! The layer reads two cookies. The *access token* is a JWT that is valid for minutes. The layer checks it in memory.
//! The *refresh token* is a JWT that is valid for hours.
//!
//! A valid access token is enough to serve a request. If the access token has expired, is missing or is invalid, the
//! refresh token decides. If the refresh token is valid and its session is not revoked, the layer renews the session
//! before the handler runs. The layer sets the new cookies on the response to the same request. There is no refresh
//! endpoint and no client code.
//!
//! From time to time, a renewal also replaces the refresh token with a new one (*rotation*). The new refresh token
//! is *provisional* until a request shows that the client has stored it. So parallel requests, lost responses and
//! crashed browsers do not look like the reuse of a copied refresh token. [`protocol`] has the rules, and the results
//! of an exhaustive search for a case in which the rules fail.
//!
//! # What you want, and what to use
//!
//! | you want to | use |
//! |---|---|
//! | sign a user out of one session (logout), on every instance of the application | [`Session::sign_out`] or [`Visitor::sign_out`] |
//! | sign a user out on all devices | [`Sessions::revoke_all`] |
//! | sign a user out on all other devices | [`Session::revoke_others`] |
//! | revoke sessions after a password change | [`Session::revoke_others`] if the user changed the password; [`Sessions::revoke_before`] if an administrator changed it |
//! | revoke all sessions of all users at once | [`Sessions::revoke_everything`]. With the memory store, a restart does the same |
//! | show a "your devices" page | [`Sessions::list`] and [`Sessions::revoke`], or the ready-made routes `Sessions::routes` |
//! | change the roles of a user, or lock a user | a [claims reload hook](SessionsBuilder::reload_claims). [`Sessions::mark_stale`] makes the hook run at the user's next request |
//! | admit only some roles to a route | [`Require::claims`] |
//! | ask for the password or a second factor again (step-up) | [`Session::reauthenticate`], [`Require::authenticated_within`] and [`Require::method`] |
//! | offer "remember me" | [`SignIn::remember_me`] |
//! | set the idle and the absolute timeout | [`Timing`](protocol::Timing) for all sessions, [`SignIn::idle_timeout`] for the session of one sign-in |
//! | serve anonymous visitors | [`SessionLayer::optional`], and `Option<Session<_>>` in handlers |
//! | show a sign-in page instead of 401 | [`RedirectToLogin`], example `redirect` |
//! | show a page that asks for the password again | [`RedirectToReauthentication`], example `step_up` |
//! | close streams and WebSockets on sign-out | [`Session::ended`] |
//! | let a page poll without keeping its session alive | [`SessionLayer::passive`] |
//! | use `fetch`, htmx or React | nothing: front ends never handle a token. See the examples `fetch`, `htmx` and `preact` |
//! | verify access tokens in a service that has no secret | `Verifier`, see [services that only verify](guide::verifying_services) |
//! | let an identity provider sign users out (by security events of CAEP, or by requests for global token revocation) | the feature `signals` |
//! | call another service for the user | [`Session::token_for`], see [tokens for other services](guide::service_tokens) |
//! | offer "sign in with …" by an OpenID Connect provider, and sign out at both sides | the module `oidc`, see the [guide](guide::single_sign_on) and the example `single_sign_on` |
//! | serve phones and API clients | [`SessionLayer::accept_bearer`], and the token endpoint in the module `oauth` |
//! | run several instances, or keep sessions when the application restarts | a [store](manual::stores): SQLite, PostgreSQL, Redis or Memcached |
//! | accept passkeys (WebAuthn) | [`Visitor::sign_in`] and [`Session::reauthenticate`] after the check of the passkey, see the package `examples/passkeys` |
//! | use Leptos or Dioxus | the packages `examples/leptos` and `examples/dioxus` |
//! | limit the request rate of each user, use gRPC, or use OpenAPI | the packages `examples/governor`, `examples/tonic` and `examples/openapi` |
//! | use your own `PgPool` or Redis client | `PostgresStore::new` or `RedisStore::new`, see the example `existing_clients` |
//! | protect users against copied cookies, with a key of the browser's device | `SessionsBuilder::device_bound`, see [device-bound sessions](guide::device_bound) |
//! | hide the contents of the cookies | `CookieOptions::encrypted`, see [encrypted cookies](guide::encrypted_cookies) |
//! | keep the tokens that a provider (Google, GitHub, Facebook) gave to a user | the module `vault`, see the [guide](guide::provider_tokens) |
//! | run two applications on one host | for each application its own [realm](SessionsBuilder::realm) (a named group of sessions) and [cookie names](CookieOptions::names) |
//! | use hyper, or tower without axum | [`Session::of`] and [`Sessions::visitor`], see the example `hyper` |
//!
//! The guide also has [answers to questions](guide::questions), [troubleshooting](guide::troubleshooting) and a
//! [security page](guide::security) that compares the crate with standards. The [manual] has the defaults with their
//! reasons, the threats, the stores and the events.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | yes | the extractors [`Session`] and [`Visitor`], and [`SetCookies`] as a part of responses. Not needed with hyper, or with tower alone |
//! | `oauth` | no | the module `oauth`: endpoints for token, revocation and introspection, for clients without cookies. Turns on `axum` |
//! | `jwks` | no | `Sessions::jwks_routes`: routes that publish the public keys, and metadata with the address of the keys, for services that verify access tokens. Turns on `axum` |
//! | `oidc` | no | the module `oidc`: sign-in and sign-out through an OpenID Connect provider, with the crate `openidconnect`. Turns on `axum` and `rust_crypto`. Also needs an HTTP client: your own `HttpClient`, or the feature `reqwest` |
//! | `vault` | no | the module `vault`: keeps a provider's own tokens (Google, GitHub, Facebook) encrypted in the store. If parallel requests need a new token of the provider, only one of them asks the provider. Turns on `rust_crypto` |
//! | `device-bound` | no | `DeviceBound`: sessions that are bound to the browser's device (Device Bound Session Credentials). Turns on `axum` and `rust_crypto` |
//! | `signals` | no | the module `signals`: an identity provider can sign users out, by requests for global token revocation or by security events (CAEP). Turns on `axum` |
//! | `tracing` | yes | a `tracing` record for every event. Not needed where [`SessionsBuilder::on_event`] is enough |
//! | `aws_lc_rs` | no | Ed25519 and ES256 keys by the library AWS-LC, which is fast and needs a C compiler. HS256 does not need this feature |
//! | `rust_crypto` | no | Ed25519 and ES256 keys by RustCrypto, which is pure Rust. If `aws_lc_rs` is on, too, AWS-LC is used. HS256 does not need this feature |
//! | `verify` | no | `Verifier`: a layer for [services that only verify](guide::verifying_services) access tokens, with public keys. Such a service needs neither the secret nor a store. Needs `aws_lc_rs` or `rust_crypto` |
//! | `reqwest` | no | `ReqwestClient`: an HTTP client for requests to identity providers and token issuers, by `reqwest` with rustls. In its place, an application can use its own `HttpClient` |
//! | `sqlite` | no | `SqliteStore`: sessions in a file, for all processes of one machine. Needs Rust 1.94, because `sqlx` does |
//! | `postgres` | no | `PostgresStore`: sessions in PostgreSQL. Needs Rust 1.94, because `sqlx` does |
//! | `postgres_tls` | no | `PostgresStore` with TLS to the server, by rustls with AWS-LC |
//! | `redis` | no | `RedisStore`: sessions in Redis or Valkey, also with Sentinel or Cluster |
//! | `redis_tls` | no | `RedisStore` with TLS to the server (`rediss://`), by rustls with AWS-LC |
//! | `memcached` | no | `MemcachedStore`: sessions in Memcached, which may forget sessions, like every cache |
//! | `metrics` | no | the counter `sliding_sessions_events_total` of all events, by the crate `metrics`. The counter has the labels `event`, `outcome` and `realm` |
//! | `test-util` | no | for tests: `Sessions::cookie_of` makes the cookies of a signed-in user, and `CookieJar` keeps cookies as a browser does |
//! | `conformance` | no | for authors of stores: the test suite that every [store](store::SessionStore) must pass |
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
