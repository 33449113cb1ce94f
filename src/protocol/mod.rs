//! The rotation protocol: its rules, and why these rules never sign a legitimate client out.
//!
//! The functions of this module only make decisions. These functions read no clock, do no I/O, and do not handle HTTP.
//!
//! # Terms
//!
//! - **Record**: the state of one session in the store.
//! - **Generation**: the number of times that a session's refresh token was rotated. The sign-in creates generation 0.
//!   Each refresh token and each access token contains the number of the generation to which the token belongs.
//! - **Rotation**: a rotation replaces the refresh token of a generation `g` with the refresh token of generation
//!   `g+1`. The replaced refresh token is the *predecessor*. The new refresh token is the *successor*.
//! - **Renewal**: a request presents a refresh token, and gets a new access token. A renewal may rotate the refresh
//!   token.
//! - **Hand-out**: a response gives the tokens of a generation to a client that presented the predecessor. A
//!   provisional generation may be handed out several times. The *hand-out time* in the record is the time of the
//!   latest hand-out that was written to the record. An instance writes this time at most once per grace period, so the
//!   last hand-out may be up to one grace period later.
//! - **Confirmed**: a generation is confirmed when a request has shown that the client has stored the tokens of the
//!   generation. See [When a generation is confirmed](#when-a-generation-is-confirmed). Generation 0 is confirmed from
//!   the sign-in on, because it has no predecessor.
//! - **Provisional**: a generation is provisional until it is confirmed.
//! - **Reuse**: a request presents a refresh token that no legitimate client sends any more, under the
//!   [assumptions](#assumptions) of this page. By default, the session is then revoked.
//!
//! # Letters
//!
//! | letter | setting | default | meaning |
//! |---|---|---|---|
//! | `G` | [`grace`][G] | 45 s | how long the predecessor stays valid after the confirmation of its successor |
//! | `W` | [`write_window`][W] | 60 s | how long after the arrival of a request its response may set cookies. Parallel requests share one read of the record. If this read was before the arrival, the time counts from the read |
//! | `C` | [`crash_window`][C] | 35 s | how old the cookies of a client may be after a crash |
//! | `M` | [`rotation_interval`][M] | 240 s | the shortest time from the confirmation of `g` to the rotation to `g+1` |
//! | `L` | [`late_body`][L] | 600 s | an extra time after the grace period. If a request with a body presents the predecessor in this time, the request is refused, but does not count as reuse |
//! | `D` | none | | the longest time that a request without a body, or a response, is in transit |
//! | `B` | none | | the longest time that a request with a body is in transit: a proxy may buffer it |
//! | `S` | none | | the largest difference between the clocks of two instances |
//!
//! [G]: Timing#structfield.grace
//! [W]: Timing#structfield.write_window
//! [C]: Timing#structfield.crash_window
//! [M]: Timing#structfield.rotation_interval
//! [L]: Timing#structfield.late_body
//!
//! `D`, `B` and `S` depend on your network and your servers. Choose the settings so that:
//!
//! - **`G >= D + S`**;
//! - `L >= B`. With a crash window, also `M + C + G > B`: by default, `B` must be less than 320 s. Without a crash
//!   window, also `M > B + S`.
//!
//! The examples on this page use the default settings, `D` = 45 s and `S` = 0 s.
//!
//! # Provisional generations
//!
//! Many implementations rotate the refresh token at each use, to detect copied tokens. Such a rotation also signs
//! legitimate clients out. For example, a browser sends ten requests with the same refresh token at the same time. The
//! first request rotates the refresh token. The other nine requests present the predecessor, and look like reuse.
//!
//! In this protocol, **each new generation is provisional until it is confirmed**. A rotation from `g` to `g+1` does
//! not invalidate the refresh token of `g`. The refresh token of `g` stays valid until a request confirms `g+1`, and
//! for one grace period after the confirmation. So the client stays signed in if a response is lost, if a request is
//! cancelled, or if a server crashes. In each of these cases, `g+1` stays provisional, and the client's refresh token
//! stays valid. With a crash window, this is also true if the browser crashes: see the next section.
//!
//! # When a generation is confirmed
//!
//! Browsers write cookies to disk about every 30 s. So a browser that crashes may come back with older tokens. Suppose
//! that the first request with a token of `g` confirmed `g`. If the browser crashed just after this request, the
//! browser would come back with the tokens of `g-1`. After the grace period, the next renewal of this browser would
//! look like reuse.
//!
//! Therefore, a request confirms `g` only if no crash can bring back the tokens of `g-1` any more. There are two rules:
//!
//! - **By access token**: the request carries an access token of `g` that was issued at least `W + C + 2·G` ago. The
//!   signature of the access token must be valid. The access token may have expired. An access token counts as issued
//!   at the moment at which an instance read the record for it. Its `iat` is this moment, rounded down to a whole
//!   second. So the age of the access token counts from `iat` plus one second.
//! - **By refresh token**: the request presents the refresh token of `g` at least `W + C + 3·G` after the hand-out time
//!   in the record.
//!
//! In a [device-bound session](#device-bound-sessions), after the confirmation of the binding, no access token confirms
//! a generation: only the second rule applies.
//!
//! With the default settings, the first rule waits for 185 s, and the second rule waits for 230 s. If the confirming
//! request has a body, both waiting times are longer by `L`. If `C = 0`, there is no waiting time: the first request
//! that carries a token of `g` confirms `g`.
//!
//! The second rule is for two kinds of clients. Clients of the first kind send their access tokens only to other
//! services. Clients of the second kind do not send expired access tokens, and their access tokens expire before they
//! are old enough for the first rule.
//!
//! Each waiting time has a cost: a copied predecessor stays usable until the confirmation, and for one grace period
//! after the confirmation.
//!
//! ## The waiting time is long enough
//!
//! An instance reads the record for an access token of `g`. The times count from this moment:
//!
//! 1. The instance sends the response with the access token after at most `W` (60 s). Reason: the write window starts
//!    at this moment or earlier, and after the write window, a response sets no cookies.
//! 2. The client has stored both tokens of `g` after at most `W + D` (105 s). Reason: a response is in transit for at
//!    most `D`. If the response does not carry the refresh token of `g`, the client presented this refresh token
//!    itself.
//! 3. From `W + D + C` (140 s) on, a client that still has this access token cannot go back to `g-1`. Reason: such a
//!    client stored the tokens of `g` at least `C` ago. A crash brings back the tokens that the client had at some
//!    moment less than `C` before the crash.
//! 4. Suppose that a request with this access token arrives at `W + C + 2·D` (185 s) or later. The client sent this
//!    request at `W + D + C` (140 s) or later. Reason: a request is in transit for at most `D`.
//! 5. If the clock of another instance shows `W + C + 2·D + S` (185 s) or later at the arrival, the condition of step 4
//!    is met. Reason: two clocks differ by at most `S`.
//!
//! Because of `D + S <= G`, the time in step 5 is at most `W + C + 2·G`. So a request with an access token of this age
//! confirms `g` safely: after this request, the client never sends the refresh token of `g-1` again. At the
//! confirmation, an earlier request with the refresh token of `g-1` may still be in transit:
//!
//! - Without a body, this request arrives after at most `D`. A clock that is ahead then shows at most `D + S` since the
//!   confirmation. This is at most `G`, so the request arrives in the grace period.
//! - With a body, this request arrives after at most `B`. A clock that is ahead then shows at most `B + S`, and this is
//!   at most `L + G`. So the request is not reuse, unless `g` was rotated in the meantime: see the table
//!   [below](#how-a-refresh-token-is-judged). The condition `M + C + G > B` excludes this rotation.
//!
//! **With a body**: a confirming request with a body is in transit for at most `B` instead of `D`. The rule adds `L` to
//! the whole waiting time. This is more than enough, because `B` is at most `L`.
//!
//! **By refresh token**: the same steps start at the last hand-out of `g`, and the refresh token of `g` replaces the
//! access token. So a request with the refresh token of `g` confirms `g` safely from `W + C + 2·G` after the last
//! hand-out on. The record does not have the time of the last hand-out: an instance writes the hand-out time before the
//! response is sent, but at most once per grace period. So the last hand-out is up to `G` later than the hand-out time
//! in the record. The third `G` covers this difference.
//!
//! # How a refresh token is judged
//!
//! A request presents a refresh token of a generation `k`. The generation in the record is `g`. The first row of this
//! table that matches applies. A renewal first calls the store, which rotates if the row `Rotate` applies. If the store
//! does not rotate, it returns the record, and the function `decide_refresh` decides by the whole table:
//!
//! | condition | decision |
//! |---|---|
//! | The session is revoked. | `Refuse` |
//! | The session is past its idle timeout or its absolute timeout. | `Refuse` |
//! | `k = g`; `g` is provisional; the rule *by refresh token* applies. | `Confirm`: confirm `g`, then as `Reissue` |
//! | `k = g`; `g` is provisional. | `Reissue`: mint an access token of `g` |
//! | `k = g`; `g` was confirmed less than `M` ago. | `Reissue` |
//! | `k = g`; `g` was confirmed `M` ago or more. | `Rotate`: rotate to `g+1`, by one compare-and-set |
//! | `k = g-1`; `g` is provisional. | `ServePredecessor`: hand out the tokens of `g` |
//! | `k = g-1`; `g` was confirmed at most `G` ago. | `ServePredecessor` |
//! | `k = g-1`; `g` was confirmed at most `G + L` ago; the request has a body. | `Refuse`: the session is not revoked |
//! | `k < g` in all other cases. | `Reuse`: by default, revoke the session |
//! | `k > g` | `FastForward`: the store lost a write, so set the record to `k` |
//!
//! Two more functions choose what the client gets. `decide_cookies` chooses the cookies of a response, when its headers
//! are sent. `decide_tokens` chooses the tokens for a client without cookies, when they are minted.
//!
//! # The rotation interval is long enough
//!
//! A late response could set the client's refresh cookie back to an older generation. The rotation interval prevents
//! this. The times count from the confirmation time of `g` in the record. In steps 1 to 3, the clock is that of the
//! instance that serves the request:
//!
//! 1. The last request that is served with the refresh token of `g-1` arrives at an instance after at most `G` (45 s).
//!    Reason: the refresh token of `g-1` is valid for `G` after the confirmation of `g`.
//! 2. The instance sends the response, with the refresh cookie of `g`, after at most `G + W` (105 s). Reason: after the
//!    write window, a response sets no cookies.
//! 3. The client stores this refresh cookie after at most `G + W + D` (150 s). Reason: a response is in transit for at
//!    most `D`.
//! 4. At the moment of step 3, the clock of any other instance shows at most `G + W + D + S` (150 s). Reason: two
//!    clocks differ by at most `S`.
//! 5. An instance rotates to `g+1` after `M` (240 s) or later. Reason: this is the rule for `Rotate`.
//!
//! Because of `D + S <= G`, the time in step 4 is at most `W + 2·G`. So if `M > W + 2·G`, the client stores the refresh
//! cookie of `g` before the rotation to `g+1`. Therefore no response with the refresh cookie of `g` overwrites a
//! refresh cookie of `g+1`.
//!
//! A response to a request that presents the refresh token of `g` cannot set the refresh cookie back, because such a
//! response does not set the refresh cookie of `g`.
//!
//! [`Policy::new`] refuses a rotation interval that is not longer than `W + 2·G`. The engine measures the write window
//! with a monotonic clock, so a step of the wall clock does not make the write window longer.
//!
//! # Device-bound sessions
//!
//! A session may be bound to a key of the client's device. The client registers the key soon after the sign-in or after
//! a re-authentication. At first, the binding is provisional: the refresh token alone still renews the session.
//!
//! A **proof** is a signature that a request carries, made with this key. A proof confirms the binding if the proof
//! comes at least `W + C + 2·G` after the registration (185 s by default). With `C = 0`, too, there is a waiting time:
//! `W + 2·G`. A request with a proof has no body, so `L` is not added. After the confirmation of the binding:
//!
//! - A renewal without a proof is refused. The refused renewal does not revoke the session, and confirms nothing.
//! - No access token confirms a generation, because the access token may be a copy. Only a renewal with a proof
//!   confirms a generation, by the rule [*by refresh token*](#when-a-generation-is-confirmed).
//! - No other key can be registered.
//! - Without a proof, an access token is minted only to replace the presented one, for example after a change of the
//!   claims. The new access token does not expire later than the presented one.
//!
//! A refused renewal may still rotate the session. A renewal first calls the store, which may rotate, and sees the
//! record only in the store's answer. A refresh token that was issued before the confirmation of the binding does not
//! name the key. So with such a token and without a proof, the instance learns only from the answer that a proof is
//! needed. Then the instance refuses the renewal, and no response contains the successor. The successor stays
//! provisional. So the client with the key can still present the predecessor, and is served.
//!
//! A second key may replace a provisional key only if the provisional key is abandoned. A provisional key is abandoned
//! one access token lifetime after the first moment at which a proof could have confirmed the key. By default, this is
//! 185 s + 300 s = 485 s after the registration. From a client in use, a proof arrives in each access token lifetime.
//! So a client in use has confirmed its key before the key counts as abandoned.
//!
//! The waiting time `W + C + 2·G` is derived as [above](#the-waiting-time-is-long-enough). The times count from the
//! registration: the response is sent after at most `W`, and arrives after at most `W + D`. From `W + D + C` on, a
//! client that has the key cannot lose it in a crash. A proof that arrives at `W + C + 2·D + S` or later was sent at `W
//! + D + C` or later.
//!
//! An access token that names the key is not enough to confirm the binding. The browser keeps a new key only if it has
//! received the whole response to the registration. If only the headers of this response arrive, the client has an
//! access cookie that names the key, but not the key.
//!
//! # What the search shows
//!
//! The crate has an exhaustive search among its tests (`tests/search`). The search runs the functions of this module
//! for every sequence of messages, crashes and clock differences up to a maximum size. The search looks for a sequence
//! that signs a legitimate client out before its timeouts, or in which a copied token is accepted for too long.
//!
//! ## Assumptions
//!
//! - **Transit**: a request or a response is in transit for at most `D`. The transit of a request begins at the moment
//!   at which the browser attaches the cookies.
//! - **Late bodies**: a request with a body is in transit for at most `B`, and `B <= L`. With `C > 0`, also `B < M + C
//!   + G` (320 s with the default settings). With `C = 0`, also `B < M - S`. A request that is in transit for longer
//!   could arrive after a second rotation, and would count as reuse. If your requests may be later, raise `M`.
//!
//!   Reason for `M + C + G`: a client sends a request with the refresh token of `g-1` at time 0. At this time, the
//!   client has not stored `g`. So each access token of `g` that the client stores later was issued at `-(W + D)` or
//!   later, and confirms `g` at `-(W + D) + W + C + 2·G` or later. This is `C + 2·G - D`, and at least `C + G + S`,
//!   because of `D + S <= G`. The rotation to `g+1` comes `M` later: at `M + C + G + S` or later. An instance whose
//!   clock is ahead may rotate up to `S` earlier, but not before `M + C + G`. With `C = 0`, the confirmation may come
//!   at time 0, so the rotation may come at `M - S`.
//! - **Clocks**: the clocks of two instances differ by at most `S`, and `G = D + S`. A longer `G` is covered, too: `D`
//!   is only an upper limit, so take `G - S` for `D`.
//! - **Crashes**: a client that crashes comes back with the tokens that the client had at some moment less than `C`
//!   before the crash. The client loses its connections, but requests that the client already sent may still arrive. A
//!   browser profile that is restored from a backup may be older than `C`. A renewal with such a profile may be reuse.
//! - **Store**: the store loses no writes. After a failover that loses a write, the rules may take a legitimate client
//!   for an attacker, or an attacker for a legitimate client.
//!
//! ## Results for legitimate clients
//!
//! **Under these assumptions, a legitimate client is never signed out before its timeouts**, if `M > W + 2·G`. This is
//! the condition of [`Policy::new`]. The client may present its refresh token at any time, and crash any number of
//! times. Messages may arrive in any order. Any number of messages may be lost. A handler may run for any length of
//! time.
//!
//! In some cases, a shorter rotation interval would be enough. The table has the exact bound of these cases: with the
//! shortest rotation interval that the bound allows, the search finds no counterexample. With the next shorter
//! interval, the search finds a counterexample. A request is *late* if it is in transit for longer than `D`.
//!
//! | case | bound |
//! |---|---|
//! | `C = 0`; no request with a body is late. | `M > W + 2·D + S` |
//! | `C = 0`; no request with a body is late; the write window is measured by a clock that may step by `S`. The engine does not measure it so. | `M > W + 2·D + 2·S` |
//! | `C = 0`; a request with a body may be late. | `M > W + 2·D + 2·S` |
//! | `C > 0`; a request with a body may be late; `S = 0`. | `M > W + 2·D` |
//! | `C > 0`; no request with a body is late; `S = 0`. | `M > W + D - C` |
//!
//! In the search, `2·G` is `2·D + 2·S`. So `M > W + 2·G` covers all of these cases. For `C > 0` and `S > 0`, the search
//! finds no counterexample with `M > W + 2·G`, and the exact bound is not known.
//!
//! The search also runs with each rule broken in turn, and finds a counterexample each time.
//!
//! For clients without cookies, the search makes one more assumption: a confirmation is in the record at most `D` after
//! the arrival of the request that confirms, or never. For cookies, a confirmation may be written at any time.
//!
//! ## Results for copied tokens
//!
//! - A copied refresh token is accepted for at most `G` after the confirmation of its successor, by the clock of the
//!   instance that decides. After the rotation, as long as the copy is accepted, an attacker who presents it gets the
//!   successor, as the client does.
//! - Later than `G` after this confirmation, a request with the copy is reuse. There is one exception: until `L` after
//!   the end of the grace period, a request with a body is refused, and the session is not revoked.
//!
//! ## Results for device-bound sessions
//!
//! In this search, a client may register any number of keys in parallel. A client may receive the headers of a response
//! without the body. A crash may set back the key, the tokens, or both, by less than `C`.
//!
//! - Without an attacker, the client always has the confirmed key, and is never signed out before its timeouts.
//! - After the confirmation of the binding, a renewal with copied cookies is refused, and the refused renewal does not
//!   revoke the session.
//! - **Before the confirmation, an attacker with copied cookies can register a key.** If the attacker's key is
//!   confirmed, the user must sign in again. The new sign-in revokes the session of the attacker's key.
//!
//! The attack of the last point fails in two cases:
//!
//! - The attacker copied the cookies after the end of the [binding window](crate::DeviceBound::binding_window), and the
//!   user does not re-authenticate while the copy is accepted. A binding window begins at the sign-in, and at each
//!   re-authentication.
//! - The client registered its key before the attacker registered a key, and the client sends a proof in each access
//!   token lifetime.

#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod binding;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod family;
mod policy;
mod policy_error;
mod presets;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod refresh;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod request;
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod rotation_timing;
#[cfg(any(feature = "oauth", feature = "__search"))]
#[cfg_attr(not(feature = "__search"), expect(unreachable_pub, reason = "public for the search only"))]
mod tokens;

pub(crate) use self::request::LEEWAY;
pub use self::{
    policy::{Policy, Timing},
    policy_error::PolicyError,
    refresh::Refusal,
};

// The decisions. With the feature `__search`, they are public: the exhaustive search runs the functions that production
// runs. Without this feature, they are private to the crate.
#[cfg(all(feature = "device-bound", not(feature = "__search")))]
pub(crate) use self::binding::{
    RegistrationDecision, RegistrationLimits, decide_registration, offers_registration,
};
#[cfg(all(feature = "oauth", not(feature = "__search")))]
pub(crate) use self::tokens::{TokenDecision, decide_tokens};
#[cfg(feature = "__search")]
#[doc(hidden)]
pub use self::{
    binding::{
        Binding, BindingDecision, RegistrationDecision, RegistrationLimits, Thumbprint, decide_binding,
        decide_registration, offers_registration,
    },
    family::Family,
    refresh::{PresentedToken, RefreshDecision, decide_refresh},
    request::{
        AccessDecision, AccessTokenTimes, CookieDecision, ResponseState, SessionStatus, decide_access,
        decide_cookies,
    },
    rotation_timing::RotationTiming,
    tokens::{TokenDecision, decide_tokens},
};
#[cfg(not(feature = "__search"))]
pub(crate) use self::{
    binding::{Binding, BindingDecision, Thumbprint, decide_binding},
    family::Family,
    refresh::{PresentedToken, RefreshDecision, decide_refresh},
    request::{
        AccessDecision, AccessTokenTimes, CookieDecision, ResponseState, SessionStatus, decide_access,
        decide_cookies,
    },
    rotation_timing::RotationTiming,
};
