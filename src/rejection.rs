//! Why a request is rejected.

use crate::protocol::{PolicyError, Refusal};

/// The kind of a [`Rejection`](crate::Rejection). The reasons in it are for operators, not for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 401: there is no session.
    Unauthenticated(Refusal),
    /// 401: the bearer token is invalid or expired (`invalid_token` of RFC 6750).
    InvalidBearer(Refusal),
    /// 400: the `Authorization` header is malformed, or came twice (`invalid_request` of RFC 6750).
    MalformedBearer,
    /// 400: a sign-in for an empty subject.
    EmptySubject,
    /// 400: a sign-in asked for timeouts that the policy does not allow.
    Timeouts(PolicyError),
    /// 403: a request from another origin with an unsafe method (CSRF).
    CrossSite,
    /// 403: cookies without `Secure` are for localhost only, and the host is another one.
    NotLoopback,
    /// 403: a [`Require`](crate::Require) refused the session, or the claims reload hook a sign-in.
    Forbidden,
    /// 403: the user must re-authenticate.
    ReauthenticationRequired,
    /// 403: the user must authenticate by another method, such as a second factor.
    MethodRequired,
    /// 403: the user has the maximum number of sessions.
    TooManySessions,
    /// 431: too many different cookies have the same name, so a sign-out could not revoke all their sessions.
    TooManyCookies,
    /// 503: the session store is unavailable. The same cookies work after the outage.
    ///
    /// A `GET` that accepts `text/event-stream` gets 200 with an event stream that ends at once. An `EventSource`
    /// then reconnects after 3 s; after another status it would not.
    Unavailable,
    /// 503: the session is bound to a device, and the request came without the access cookie that the browser gets for
    /// a proof of the device's key. The browser proves it and sends the request again.
    ///
    /// It is 503, since browsers take most other statuses of 4xx for the end of the session. A page visit gets a page
    /// that is loaded again after a moment. A `GET` that accepts `text/event-stream` is answered as at
    /// [`Unavailable`](Self::Unavailable).
    DeviceProofRequired,
    /// 425: a prefetch, or the script of a service worker, would have needed a renewal.
    ///
    /// Browsers discard a prefetch whose status is not 2xx, and ask again when the user visits the page. Load
    /// balancers count 503 as a failure of the instance, but not 425, and proxies do not retry it elsewhere.
    NotNow,
    /// 501: this session store does not support the operation.
    Unsupported,
    /// 500: the claims do not fit into a cookie.
    ClaimsTooLarge,
    /// 500: the claims cannot be written as JSON, or cannot be read back. The [error](crate::MintError) and the
    /// event say why.
    ClaimsUnreadable,
    /// 500: the route is not within a session layer, or within that of another realm.
    MissingLayer,
    /// 500: the route asks for a session with other claims than those of the layer around it. The log
    /// names both types.
    OtherClaims,
    /// 500: the route is within optional layers of several realms with one claims type, and names none of them.
    AmbiguousLayer,
    /// 500: a [`Require`](crate::Require) is not within the layer of its sessions.
    RequireOutsideLayer,
    /// 500: another error. The event says which.
    Internal,
}
