//! Why a request is rejected.

use crate::protocol::{PolicyError, Refusal};

/// What kind of [`Rejection`](crate::Rejection) it is. What is in it is for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 401: there is no session. Why is not for the caller to know.
    Unauthenticated(Refusal),
    /// 401: the bearer token is of no use (`invalid_token` of RFC 6750). Why is not for the caller
    /// to know.
    InvalidBearer(Refusal),
    /// 400: the `Authorization` header is malformed, or came twice (`invalid_request` of RFC 6750).
    MalformedBearer,
    /// 400: a sign-in for an empty subject.
    EmptySubject,
    /// 400: a sign-in asked for lifetimes that are not within the policy's.
    Lifetime(PolicyError),
    /// 403: an unsafe request from another site.
    CrossSite,
    /// 403: cookies go in the clear, as the builder was told, and the host is not localhost.
    NotLoopback,
    /// 403: a [`Require`](crate::Require) refused the session's claims, or the claims hook a sign-in.
    Forbidden,
    /// 403: a fresh proof of sign-in is wanted.
    ReauthenticationRequired,
    /// 403: a proof of sign-in by another method is wanted, such as a second factor.
    MethodRequired,
    /// 403: the subject has as many sessions as it may have.
    TooManySessions,
    /// 431: too many different cookies came under one name to sign out of all their sessions.
    TooManyCookies,
    /// 503: the session store is unavailable. The same cookies work when it is back.
    ///
    /// A `GET` that accepts `text/event-stream` is answered with 200, and an event stream that ends at
    /// once: an `EventSource` gives up for good on any other status, and so reconnects after 3 s.
    Unavailable,
    /// 425: a prefetch, or the script of a service worker, would have needed a renewal.
    ///
    /// Browsers discard a prefetch whose status is not 2xx, and ask again when a person goes there. No
    /// load balancer counts 425 as a failure of the instance, as they do with 503, and no proxy retries it
    /// elsewhere.
    NotNow,
    /// 501: the session store cannot do this at all.
    Unsupported,
    /// 500: the claims do not fit into a cookie.
    ClaimsTooLarge,
    /// 500: the claims cannot be written as JSON, or cannot be read back from it as their type. The
    /// [error](crate::MintError) and the logs say why.
    ClaimsUnreadable,
    /// 500: the route is not within a session layer, or within that of another realm.
    MissingLayer,
    /// 500: the route asks for a session with other claims than those of the layer around it. The log
    /// names both types.
    OtherClaims,
    /// 500: the route is within optional layers of several realms with one claims type, and does not
    /// say which one it asks for.
    AmbiguousLayer,
    /// 500: a [`Require`](crate::Require) is not within the layer of its sessions.
    RequireOutsideLayer,
    /// 500: something else failed, as the logs say.
    Internal,
}
