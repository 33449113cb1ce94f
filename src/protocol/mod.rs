//! The rotation protocol: pure decisions, no clock, no I/O, no HTTP.
//!
//! # The one idea
//!
//! Rotating a refresh token on each use finds thieves out, and almost everywhere it also signs
//! honest people out: a browser fires ten requests with the same expired token, one of them
//! rotates it, and nine look like theft. Here **the successor is provisional until it is seen in
//! use**. Rotating generation `g` to `g+1` does not kill `g`; it stays good until a request
//! arrives that *carries* generation `g+1`, and one grace longer. An answer that was lost, a
//! request that was cancelled or a process that crashed leaves an unconfirmed successor behind,
//! and what the browser still holds keeps working.
//!
//! A renewal presents a refresh token of generation `k`; the session's [`Family`] is at `g`:
//!
//! | the record says | [`rotate`] answers |
//! |---|---|
//! | revoked; past the idle or the absolute limit | [`Refuse`](Rotation::Refuse) |
//! | `k = g`, not confirmed | [`Confirm`](Rotation::Confirm), then a new access token for `g` |
//! | `k = g`, confirmed less than `M` ago | [`Reissue`](Rotation::Reissue): a new access token for `g` |
//! | `k = g`, confirmed `M` ago or more | [`Advance`](Rotation::Advance): one compare-and-set to `g+1` |
//! | `k = g-1`, `g` not confirmed or confirmed at most `G` ago | [`Replay`](Rotation::Replay): served as `g` |
//! | `k = g-1` and `g` confirmed more than `G` ago; `k < g-1` | [`Reuse`](Rotation::Reuse): a stolen copy, the session ends |
//! | `k > g` | [`FastForward`](Rotation::FastForward): the store lost a write |
//!
//! When the head of the response leaves, [`settle`] decides what cookies go with it. For a client that
//! keeps its tokens itself [`exchange`] does.
//!
//! # What is proven
//!
//! Let a request (from when the browser attached its cookies) or a response be on its way for at
//! most `D`, let the instances' clocks be at most `S` apart, and let the grace `G >= D + S`. Then
//! **`M > W + 2·D + S` means that an honest cookie jar is never signed out before its limits**,
//! whenever it presents its refresh token, in whatever order requests and responses arrive,
//! however many are lost and however long handlers run. Where a clock may also step by `S` while a
//! handler runs, the bound is `M > W + 2·D + 2·S`, and [`Policy::new`] refuses what that does not
//! cover: it asks for `M > W + 2·G`.
//!
//! All that is so for clients that keep their tokens themselves, too, if a confirmation is written
//! at most `D` after it was seen, or never. Cookies do not mind how late that is.
//!
//! The crate's tests hold this by exhaustive search (`tests/proof`). It drives the functions of
//! this module through every world up to a size, finds no counterexample above the bound and one
//! at it, and with any single rule broken it finds one again.
//!
//! # What is assumed
//!
//! That the cookie jar does not go back in time. A browser that crashes, and comes back with the
//! refresh token from before one that it had already used, looks exactly like the victim of a
//! theft. It is recognised as honest only if it renews within one grace of that use. Browsers
//! write cookies to disk within half a minute or so, which is why the default grace is no shorter.

mod assess;
mod exchange;
mod family;
mod policy;
mod presets;
mod rotate;
mod settle;

pub use self::{
    assess::{Access, Assessment, Standing, assess},
    exchange::{Exchange, exchange},
    family::{Advance, Family, RotationTiming},
    policy::{Policy, PolicyError, Timing},
    rotate::{Presented, Refusal, Rotation, rotate},
    settle::{Departure, Settlement, settle},
};
