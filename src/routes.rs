//! Routes for a "your devices" page and for sign-out.

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{
    claims::Claims,
    id::SessionId,
    middleware::{Rejection, RejectionKind},
    session::{Session, SessionInfo, SetCookies, SignOutError, Visitor},
    sessions::Sessions,
};

/// A session of the user, as `GET /sessions` returns it.
#[derive(Serialize)]
struct Device {
    sid: SessionId,
    /// All times are in seconds since 1970.
    created: u64,
    last_seen: u64,
    expires: u64,
    /// The client's origin at the sign-in, if the builder has the hook [`origin`](crate::SessionsBuilder::origin).
    from: Option<String>,
    /// Whether this is the session of the request.
    current: bool,
}

impl<C: Claims> Sessions<C> {
    /// Routes for a "your devices" page and for sign-out. Merge them into a router, or nest them under another path.
    /// The routes already have their session layer.
    ///
    /// | route | does | answers |
    /// |---|---|---|
    /// | `GET /sessions` | lists the user's sessions, oldest first | `[{"sid", "created", "last_seen", "expires", "from", "current"}]`, times in seconds since 1970 |
    /// | `DELETE /sessions/{sid}` | revokes one of them | 204, also if it was revoked or expired before; 400 for something that is no session ID |
    /// | `POST /sessions/revoke-others` | revokes all but the session of this request | 204 |
    /// | `POST /sessions/revoke-all` | revokes all of them | 204, removes the cookies |
    /// | `POST /sign-out` | revokes the session of this request; works with expired and with no tokens | 204, removes the cookies |
    ///
    /// A user can revoke only their own sessions. Without a session, the answer is 401, except at `/sign-out`. If the
    /// store cannot list sessions (Memcached), the answer is 501. During an outage of the store, the answer is 503. The
    /// routes accept only cookies, and no bearer tokens.
    ///
    /// ```
    /// # use axum::Router;
    /// # use tower_sliding_sessions::Sessions;
    /// fn app(sessions: Sessions) -> Router {
    ///     Router::new().nest("/account", sessions.routes()) // GET /account/sessions, POST /account/sign-out
    /// }
    /// ```
    #[doc(alias = "devices")]
    #[doc(alias = "logout")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new()
            .route("/sessions", get(list::<C>))
            .route("/sessions/{sid}", delete(revoke::<C>))
            .route("/sessions/revoke-others", post(revoke_others::<C>))
            .route("/sessions/revoke-all", post(revoke_all::<C>))
            .route_layer(self.layer())
            .route("/sign-out", post(sign_out::<C>))
            .with_state(self.clone())
    }
}

async fn list<C: Claims>(
    session: Session<C>,
    State(sessions): State<Sessions<C>>,
) -> Result<Response, Rejection> {
    let sessions = sessions.list(session.subject()).await?;
    let devices: Vec<_> = sessions.into_iter().map(|info| device(info, session.id())).collect();
    let json = serde_json::to_string(&devices).map_err(|_| Rejection::new(RejectionKind::Internal))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response())
}

fn device(info: SessionInfo, current: SessionId) -> Device {
    Device {
        sid: info.id,
        created: info.created_at.as_secs(),
        last_seen: info.last_seen.as_secs(),
        expires: info.expires_at.as_secs(),
        from: info.origin,
        current: info.id == current,
    }
}

async fn revoke<C: Claims>(
    session: Session<C>,
    State(sessions): State<Sessions<C>>,
    Path(sid): Path<String>,
) -> Result<Response, Rejection> {
    match SessionId::decode(&sid) {
        Some(sid) if sid == session.id() => {
            Ok((StatusCode::NO_CONTENT, session.sign_out().await?).into_response())
        }
        Some(sid) => {
            sessions.revoke(session.subject(), sid).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        None => Ok((StatusCode::BAD_REQUEST, "not a session ID").into_response()),
    }
}

async fn revoke_others<C: Claims>(session: Session<C>) -> Result<StatusCode, Rejection> {
    session.revoke_others().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke_all<C: Claims>(
    session: Session<C>,
    State(sessions): State<Sessions<C>>,
) -> Result<(StatusCode, SetCookies), Rejection> {
    sessions.revoke_all(session.subject()).await?;
    Ok((StatusCode::NO_CONTENT, session.sign_out().await?))
}

async fn sign_out<C: Claims>(visitor: Visitor<C>) -> Result<(StatusCode, SetCookies), SignOutError> {
    Ok((StatusCode::NO_CONTENT, visitor.sign_out().await?))
}
