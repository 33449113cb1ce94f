//! The rotation protocol: pure decisions, no clock, no I/O, no HTTP.
//!
//! # Provisional generations
//!
//! Rotating a refresh token on each use detects reuse, and almost everywhere it also signs legitimate
//! clients out: a browser sends ten requests with the same expired token, one of them rotates it, and
//! nine look like reuse. Here **the successor is provisional until it is confirmed**. Rotating
//! generation `g` to `g+1` does not invalidate `g`; it stays valid until a request proves that the client
//! has `g+1` for good, and one grace longer. A lost response, a cancelled request, a process or a browser
//! that crashed leaves an unconfirmed successor behind, and what the client still holds keeps working.
//!
//! A renewal presents a refresh token of generation `k`; the session is at `g`:
//!
//! | the record says | `decide_refresh` answers |
//! |---|---|
//! | revoked; past the idle or the absolute timeout | `Refuse` |
//! | `k = g`, not confirmed, last handed out `G + W + C + 2·G` ago or more | `Confirm`, then a new access token for `g` |
//! | `k = g`, not confirmed, handed out later | `Reissue`: a new access token for `g` |
//! | `k = g`, confirmed less than `M` ago | `Reissue` |
//! | `k = g`, confirmed `M` ago or more | `Advance`: one compare-and-set to `g+1` |
//! | `k = g-1`, `g` not confirmed or confirmed at most `G` ago | `Replay`: served as `g` |
//! | `k = g-1` on a request with a body, `g` confirmed at most `G + L` ago | `Refuse`, without an alarm |
//! | any other `k < g` | `Reuse`: a copy was used, the session is revoked |
//! | `k > g` | `FastForward`: the store lost a write |
//!
//! When the head of the response leaves, `settle` decides what cookies go with it. For a client that
//! keeps its tokens itself `exchange` does.
//!
//! # When a generation is confirmed
//!
//! A client that crashes comes back with older tokens: browsers write cookies to disk about every 30 s.
//! If the first request that carries `g` confirmed it, a browser that is killed after that request would
//! come back with `g-1`, and look like reuse. So there are two rules, by which no older token can come
//! back from a legitimate client, be it by a crash or by a slow network:
//!
//! - **By access token**: a request carries an authentic access
//!   token of `g` that was issued at least `W + C + 2·G` ago. That it has expired makes no difference.
//!   Its `iat` is when the record was read, and the response left within `W` of that.
//! - **By refresh token**: `g` is presented at least that long, and
//!   a grace more, after `g` was last handed out to a client with `g-1`. The record knows when that was. It is written before the response leaves, but only if the last such time
//!   was more than a grace ago, hence the grace. Clients whose access tokens go to other services, or
//!   live shorter, confirm in this way.
//!
//! A request with a body may be late by `L`, so it confirms that much later.
//!
//! `C` is the [crash window](Timing::crash_window). It costs that a copied predecessor stays usable for
//! that much longer. With `C = 0` the first request that carries a generation confirms it.
//!
//! # What is proven
//!
//! Let a request (from when the browser attached its cookies) or a response be on its way for at
//! most `D`, let the instances' clocks be at most `S` apart, and let the grace `G >= D + S`. Let a client
//! that crashes come back with what it held less than `C` ago; its connections are lost with it, but what
//! it sent may still arrive. Let a request with a body be late by at most `L`, with
//! `L < M + C + D` (with `C = 0`: `L < M`). Then **`M > W + 2·D + S` means that a legitimate client is
//! never signed out before its timeouts**: at any time that it presents its refresh token, with any number of
//! crashes, in any order in which requests and responses arrive, with any number of lost ones, and with handlers
//! that run for any time. Where a clock may also step by `S` while a handler runs, the bound is
//! `M > W + 2·D + 2·S`, and [`Policy::new`] refuses what that does not cover: it asks for `M > W + 2·G`.
//! (Where `C > 0` and no request is late for its body, `M > W + D - C` is the bound.)
//!
//! The same holds for clients without cookies, if a confirmation is written within `D`, or never. For cookies,
//! a confirmation may be written at any time.
//!
//! An attacker who holds a copy is not served for longer than `G` after the copy's successor was
//! confirmed, and is answered without an alarm for at most `L` more.
//!
//! The crate's tests check this by exhaustive search (`tests/proof`). The search runs the functions of this module
//! in every world up to a size. It finds no counterexample at the bounds, finds one just below each bound, and finds
//! one if any single rule is broken.
//!
//! # What is assumed
//!
//! That a client's storage does not go back by `C` or more: a browser profile that is restored from a
//! backup after a rotation is reuse. That the store does not lose writes: after a failover that lost one,
//! a client may be taken for an attacker, or the other way round.

#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod access;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod cookies;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod family;
mod policy;
mod presets;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod refresh;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod rotation_timing;
#[cfg(any(feature = "oauth", feature = "__search"))]
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod tokens;

pub(crate) use self::access::LEEWAY;
pub use self::{
    policy::{Policy, PolicyError, Timing},
    refresh::Refusal,
};

// The decisions. They are public only for the exhaustive search, which drives the functions that production runs.
#[cfg(all(feature = "oauth", not(feature = "__search")))]
pub(crate) use self::tokens::{TokenDecision, decide_tokens};
#[cfg(not(feature = "__search"))]
pub(crate) use self::{
    access::{AccessDecision, AccessTokenTimes, SessionStatus, decide_access},
    cookies::{CookieDecision, ResponseState, decide_cookies},
    family::Family,
    refresh::{PresentedToken, RefreshDecision, decide_refresh},
    rotation_timing::RotationTiming,
};
#[cfg(feature = "__search")]
#[doc(hidden)]
pub use self::{
    access::{AccessDecision, AccessTokenTimes, SessionStatus, decide_access},
    cookies::{CookieDecision, ResponseState, decide_cookies},
    family::Family,
    refresh::{PresentedToken, RefreshDecision, decide_refresh},
    rotation_timing::RotationTiming,
    tokens::{TokenDecision, decide_tokens},
};
