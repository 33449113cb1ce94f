//! Sliding sessions.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod builder;
mod cache;
mod claims;
mod cookie;
mod cross_site;
mod engine;
mod event;
#[cfg(feature = "axum")]
mod extract;
mod id;
mod middleware;
pub mod protocol;
mod revocation;
mod session;
mod sessions;
pub mod store;
mod time;
mod token;

pub use self::{
    builder::{BuildError, SessionsBuilder},
    claims::Claims,
    cookie::{CookieError, FormerCookie, SameSite},
    cross_site::OriginError,
    engine::SignInError,
    event::{Event, EventKind, Renewed, Severity},
    id::{EntropyError, ParseIdError, RunId, SessionId, SessionTag},
    middleware::{
        ProblemJson, RedirectToLogin, Reject, Rejection, RejectionKind, RequestHead, Require, RequireFuture,
        RequireService, ResponseFuture, SessionLayer, SessionService, safe_next,
    },
    session::{Session, SessionInfo, SetCookies, SignIn, Visitor},
    sessions::Sessions,
    time::{Clock, ManualClock, SystemClock, Timestamp},
    token::{InvalidToken, KeyError, Keyring, MintError},
};
