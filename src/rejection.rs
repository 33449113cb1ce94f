//! Why a request is rejected.

use crate::protocol::{PolicyError, Refusal};

/// The kind of a [`Rejection`](crate::Rejection). The reasons in the kinds are for operators, not for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 401: the request has no session.
    Unauthenticated(Refusal),
    /// 401: the bearer token is invalid or expired (`invalid_token` of RFC 6750).
    InvalidBearer(Refusal),
    /// 400: the `Authorization` header is malformed, or the request has several of them (`invalid_request` of RFC
    /// 6750).
    MalformedBearer,
    /// 400: the subject of a sign-in is empty.
    EmptySubject,
    /// 400: a sign-in asked for timeouts that the policy does not allow.
    Timeouts(PolicyError),
    /// 403: a request with an unsafe method from another origin (CSRF).
    CrossSite,
    /// 403: the request is for another host than localhost, but cookies without `Secure` are for localhost only.
    NotLoopback,
    /// 403: a [`Require`](crate::Require) refused the session, or the claims reload hook refused a sign-in.
    Forbidden,
    /// 403: the user must re-authenticate.
    ReauthenticationRequired,
    /// 403: the user must authenticate by another method, such as a second factor.
    MethodRequired,
    /// 403: the user has the maximum number of sessions.
    TooManySessions,
    /// 431: too many different cookies have the same name, so a sign-out could not revoke all of their sessions.
    TooManyCookies,
    /// 503: the session store, or something else that the request needs, is unavailable. The same cookies work after
    /// the outage.
    ///
    /// A `GET` that accepts `text/event-stream` gets 200 with an event stream that ends at once. An `EventSource` then
    /// reconnects after 3 s. After another status, an `EventSource` would not reconnect.
    Unavailable,
    /// 503: the session is bound to a device, and the request has no valid access cookie. The browser gets a new access
    /// cookie for a proof of the device's key, and then sends the request again.
    ///
    /// The status is 503, because browsers take most 4xx statuses for the end of the session. A page visit gets a page
    /// that loads again after a moment. A `GET` that accepts `text/event-stream` is answered as for
    /// [`Unavailable`](Self::Unavailable).
    DeviceProofRequired,
    /// 425: a renewal is needed, but the request is a prefetch or loads the script of a service worker.
    ///
    /// Browsers discard a prefetch whose status is not 2xx, and send the request again when the user visits the page.
    /// The status is not 503, because load balancers count 503 as a failure of the instance. They do not count 425, and
    /// proxies do not retry a request with 425 on another instance.
    NotNow,
    /// 501: the session store does not support the operation.
    Unsupported,
    /// 500: the claims do not fit into a cookie.
    ClaimsTooLarge,
    /// 500: the claims cannot be written as JSON, or cannot be read back. The [error](crate::MintError) and the event
    /// have the cause.
    ClaimsUnreadable,
    /// 500: the route is within no session layer, only within layers of other realms, or within a layer that only
    /// verifies.
    MissingLayer,
    /// 500: the route asks for a session with another claims type than the layer around it has. The log names both
    /// types.
    OtherClaims,
    /// 500: the route is within optional layers of several realms with the same claims type, and names none of these
    /// realms.
    AmbiguousLayer,
    /// 500: a [`Require`](crate::Require) is not within the layer of its sessions.
    RequireOutsideLayer,
    /// 500: another error. The event says which error.
    Internal,
}
