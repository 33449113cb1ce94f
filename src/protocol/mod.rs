//! The rotation protocol: pure decisions, no clock, no I/O, no HTTP.
//!
//! # Provisional generations
//!
//! Rotating a refresh token on each use detects reuse. In most implementations it also signs legitimate
//! clients out: a browser sends ten requests with the same expired token, one of them rotates it, and nine
//! look like reuse. Here **the successor is provisional until it is confirmed**. Rotating generation `g` to
//! `g+1` does not invalidate `g`; it stays valid until a request shows that the client has stored `g+1`, and
//! for one grace period after that. After a lost response, a cancelled request, or a crash of a process or a
//! browser, the successor stays unconfirmed, and the token that the client still has keeps working.
//!
//! A renewal presents a refresh token of generation `k`; the session is at `g`. `G` is the grace period, `W` the write
//! window, `C` the crash window, `M` the rotation interval, and `L` how late a body may be: see [`Timing`]. The first row
//! that matches counts:
//!
//! | the record says | `decide_refresh` answers |
//! |---|---|
//! | revoked; past the idle or the absolute timeout | `Refuse` |
//! | `k = g`, not confirmed, last handed out `W + C + 3·G` ago or more | `Confirm`, then a new access token for `g` |
//! | `k = g`, not confirmed, last handed out less than `W + C + 3·G` ago | `Reissue`: a new access token for `g` |
//! | `k = g`, confirmed less than `M` ago | `Reissue` |
//! | `k = g`, confirmed `M` ago or more | `Rotate`: rotate, by one compare-and-set to `g+1` |
//! | `k = g-1`, `g` not confirmed or confirmed at most `G` ago | `ServePredecessor`: served as `g` |
//! | `k = g-1` on a request with a body, `g` confirmed at most `G + L` ago | `Refuse`; the session is not revoked |
//! | any other `k < g` | `Reuse`: a copy was used, the session is revoked |
//! | `k > g` | `FastForward`: the store lost a write |
//!
//! When the response headers are sent, `decide_cookies` decides which cookies they set. For a client without
//! cookies, `decide_tokens` decides which tokens it gets.
//!
//! # When a generation is confirmed
//!
//! A client that crashes comes back with older tokens: browsers write cookies to disk about every 30 s. If
//! the first request that carries `g` confirmed it, a browser that is killed after that request would come
//! back with `g-1`, and look like reuse. There are two rules. With them, a legitimate client never sends an
//! older token after the confirmation, even after a crash or on a slow network:
//!
//! - **By access token**: a request carries a validly signed access token of `g` that was issued at least
//!   `W + C + 2·G` ago. It may have expired. (Its `iat` is the time at which the record was read. The response
//!   with the token was sent within `W` after that.)
//! - **By refresh token**: a request presents `g` at least `W + C + 3·G` after the hand-out time in the record. The
//!   hand-out time says when `g` was given to a client that presented `g-1`. It is written before the response is sent,
//!   but at most once per grace period. So the last hand-out may be up to one grace period later, which the third `G`
//!   covers. This rule confirms for clients whose access tokens go to other services, or expire before they reach that
//!   age.
//!
//! A request with a body may arrive `L` late, so for it both times are `L` longer.
//!
//! With `C > 0`, a copied predecessor stays usable until the
//! confirmation, and one grace period longer. With `C = 0`, the first request that carries a generation confirms it.
//!
//! # Device-bound sessions
//!
//! A session may be bound to a key of the client's device. The client registers the key soon after the sign-in or a
//! re-authentication. The binding is provisional at first: the refresh token alone still renews the session. A proof
//! of the key confirms the binding, if it comes at least `W + C + 2·G` after the registration, also if `C` is zero.
//! From then on:
//!
//! - A renewal without a proof is refused. It revokes nothing and confirms nothing. (A refresh token from before the
//!   confirmation may still rotate the session once. The client with the key then presents a predecessor.)
//! - No other key can be registered.
//! - Without a proof, no access token is minted that expires later than the presented one.
//!
//! A second key replaces a provisional one only after a while: one access token lifetime after the provisional one could
//! first be confirmed, and was not. A client in use would have confirmed it by then.
//!
//! When a proof confirms the binding, every response to a registration has arrived or is lost. So the client has this
//! key, and still has it after a crash. An access token that was minted for the binding does not confirm it: if the
//! body of the response is lost, the client has the cookie without the key.
//!
//! # What the search shows
//!
//! The crate's tests search exhaustively for a sequence that breaks the following rules (`tests/search`). The search
//! assumes:
//!
//! - A request or a response is on its way for at most `D`. A request counts from the time at which the browser
//!   attached its cookies. A request with a body may be late by `L` instead, where `L < M + C + D` (with `C = 0`:
//!   `L < M`).
//! - The clocks of two instances differ by at most `S`. The grace period is `G >= D + S`.
//! - A client that crashes comes back with tokens that it held less than `C` ago. Its connections are lost, but
//!   requests that it sent may still arrive. (A browser profile that is restored from a backup after a rotation
//!   breaks this assumption, and is reuse.)
//! - The store does not lose writes. (After a failover that lost one, a legitimate client may be treated as an
//!   attacker, and an attacker as a legitimate client.)
//!
//! Then **if `M > W + 2·D + S`, a legitimate client is never signed out before its timeouts**. It may present its
//! refresh token at any time and crash any number of times. Requests and responses may arrive in any order, any
//! number of them may be lost, and handlers may run for any time. If a clock may also step by `S` while a handler
//! runs, the bound is `M > W + 2·D + 2·S`. (If `C > 0` and no request with a body is late, the bound is
//! `M > W + D - C`.)
//!
//! [`Policy::new`] refuses a rotation interval that is too short for this: it requires `M > W + 2·G`. It does not
//! check the bound of `L`, which the default settings do not keep. See [`late_body`](Timing::late_body).
//!
//! For clients without cookies, the same holds under one more assumption: a confirmation is written within `D`, or
//! never. For cookies, it may be written at any time.
//!
//! A copied refresh token is not accepted for longer than `G` after its successor was confirmed. (An attacker who
//! used the copy before that has the successor, like the client.) After that, requests with a body are refused
//! for at most `L` more, and then they are reuse.
//!
//! For device-bound sessions, the search lets a client register any number of keys in parallel. A response may lose only
//! its body, and a crash may set back the key, the tokens or both by less than `C`. The client always has the confirmed
//! key, and is never signed out before its timeouts. After the confirmation, copied cookies neither renew nor revoke the
//! session. **Before the confirmation, an attacker with copied cookies can register a key.** If that key is confirmed,
//! the client must sign in again, which revokes the session. This fails if the cookies were copied after the last
//! [binding window](crate::DeviceBound::binding_window), or if the client registered its key first and proves it once in
//! each access token lifetime.
//!
//! The search runs the functions of this module for every sequence of messages, crashes and clock differences up to a
//! maximum size. It finds no counterexample for the shortest `M` that each inequality allows. It finds one for the
//! next shorter `M`, and one if any single rule is broken.

#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod access;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod binding;
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
#[cfg(all(feature = "device-bound", not(feature = "__search")))]
pub(crate) use self::binding::{
    RegistrationDecision, RegistrationLimits, decide_registration, offers_registration,
};
#[cfg(all(feature = "oauth", not(feature = "__search")))]
pub(crate) use self::tokens::{TokenDecision, decide_tokens};
#[cfg(feature = "__search")]
#[doc(hidden)]
pub use self::{
    access::{AccessDecision, AccessTokenTimes, SessionStatus, decide_access},
    binding::{
        Binding, BindingDecision, RegistrationDecision, RegistrationLimits, Thumbprint, decide_binding,
        decide_registration, offers_registration,
    },
    cookies::{CookieDecision, ResponseState, decide_cookies},
    family::Family,
    refresh::{PresentedToken, RefreshDecision, decide_refresh},
    rotation_timing::RotationTiming,
    tokens::{TokenDecision, decide_tokens},
};
#[cfg(not(feature = "__search"))]
pub(crate) use self::{
    access::{AccessDecision, AccessTokenTimes, SessionStatus, decide_access},
    binding::{Binding, BindingDecision, Thumbprint, decide_binding},
    cookies::{CookieDecision, ResponseState, decide_cookies},
    family::Family,
    refresh::{PresentedToken, RefreshDecision, decide_refresh},
    rotation_timing::RotationTiming,
};
