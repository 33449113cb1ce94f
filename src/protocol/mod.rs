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
//! When the head of the response leaves, [`settle`] decides what cookies go with it.
//!
//! # What is proven
//!
//! Let a request (from when the browser attached its cookies) or a response be on its way for at
//! most `D`, let the instances' clocks be at most `S` apart, and let the grace `G >= D + S`. Then
//! **`M > W + 2·D + S` means that an honest cookie jar is never signed out before its limits**,
//! whenever it presents its refresh token, in whatever order requests and responses arrive,
//! however many are lost and however long handlers run. [`Policy::new`] refuses what this does
//! not cover. An exhaustive search in the crate's tests drives the functions of this module
//! through every small world and finds no counterexample; with any one rule broken it finds one.
//!
//! The proof assumes that the jar itself does not go back in time by more than `G`, as it can when
//! a browser crashes before it saved its cookies.

mod assess;
mod family;
mod policy;
mod rotate;
mod settle;

pub use self::{
    assess::{Access, Assessment, Standing, assess},
    family::{Advance, Family},
    policy::{Policy, PolicyError, Timing},
    rotate::{Presented, Refusal, Rotation, rotate},
    settle::{Departure, Settlement, settle},
};
