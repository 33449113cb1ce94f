//! The routes of device-bound sessions (Device Bound Session Credentials, W3C).

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{
    claims::Claims,
    device_binding::DeviceBound,
    engine::{CacheRules, DeviceAnswer, DeviceRequest, Engine, forbid_caching, sets_cookie},
    middleware::{Rejection, RejectionKind},
    request::RequestHead,
    sessions::Sessions,
};

const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

impl<C: Claims> Sessions<C> {
    /// The routes that browsers call to bind a session to their device, and to renew a bound session with a proof.
    /// Merge the routes into the application's router, outside of session layers. Their paths begin with the
    /// [path](DeviceBound::new) of the settings. Without
    /// [`SessionsBuilder::device_bound`](crate::SessionsBuilder::device_bound), there are no routes.
    ///
    /// | route | does | answers |
    /// |---|---|---|
    /// | `POST <path>/start` | binds the session of the cookies to a new key | 200 with instructions and cookies; 400 for an invalid proof; 401 without a session |
    /// | `POST <path>/refresh` | renews it | 403 with a challenge; 200 with cookies for a proof; 401 if the session is over |
    ///
    /// Both routes answer 503 during an outage of the store. Browsers then keep the session.
    ///
    /// ```
    /// # use axum::Router;
    /// # use tower_sliding_sessions::Sessions;
    /// fn app(sessions: Sessions) -> Router {
    ///     Router::new().merge(sessions.device_bound_routes())
    /// }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "device-bound")))]
    #[doc(alias = "DBSC")]
    pub fn device_bound_routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let Some(settings) = &self.engine.config.device_bound else { return Router::new() };
        let at = |path: &str| format!("{}{path}", settings.path());
        Router::new()
            .route(&at("/start"), post(start::<C>))
            .route(&at("/refresh"), post(refresh::<C>))
            .with_state(self.clone())
    }
}

async fn start<C: Claims>(State(sessions): State<Sessions<C>>, request: Request) -> Response {
    let arrived = sessions.engine.revocation.read_clock();
    let (parts, _body) = request.into_parts();
    let request = DeviceRequest { head: RequestHead::of_parts(&parts), arrived };
    let answer = sessions.engine.register_device(&request).await;
    respond(&sessions.engine, answer)
}

async fn refresh<C: Claims>(State(sessions): State<Sessions<C>>, request: Request) -> Response {
    let arrived = sessions.engine.revocation.read_clock();
    let (parts, _body) = request.into_parts();
    let request = DeviceRequest { head: RequestHead::of_parts(&parts), arrived };
    let answer = sessions.engine.refresh_device(&request).await;
    respond(&sessions.engine, answer)
}

fn respond<C: Claims>(engine: &Engine<C>, answer: DeviceAnswer<C>) -> Response {
    let mut response = match answer {
        DeviceAnswer::Bound { name, plan } => {
            let mut response = instructions(engine, &name);
            let cookie_names = engine.config.cookies.names();
            let rules = CacheRules { accepts_bearer: false, no_store: true, cookie_names };
            plan.add_to(response.headers_mut(), rules);
            match sets_cookie(response.headers(), &engine.config.cookies.access) {
                true => response,
                // The write window is over, or the claims changed.
                false => Rejection::unavailable().into_response(),
            }
        }
        DeviceAnswer::Challenge { challenge, name } => {
            let mut response = StatusCode::FORBIDDEN.into_response();
            let value = HeaderValue::try_from(format!("\"{challenge}\";id=\"{name}\""));
            response.headers_mut().extend(value.ok().map(|value| (CHALLENGE, value)));
            response
        }
        DeviceAnswer::Forget { name } => json(&Ended { session_identifier: &name, r#continue: false }),
        DeviceAnswer::Over => Rejection::unauthenticated().into_response(),
        DeviceAnswer::Refused => StatusCode::BAD_REQUEST.into_response(),
        DeviceAnswer::Unavailable => Rejection::unavailable().into_response(),
        DeviceAnswer::NotLoopback => Rejection::from(RejectionKind::NotLoopback).into_response(),
    };
    forbid_caching(response.headers_mut());
    response
}

#[derive(Serialize)]
struct Ended<'a> {
    session_identifier: &'a str,
    r#continue: bool,
}

#[derive(Serialize)]
struct Instructions<'a> {
    session_identifier: &'a str,
    refresh_url: String,
    scope: Scope<'a>,
    credentials: [Credential<'a>; 1],
}

#[derive(Serialize)]
struct Scope<'a> {
    include_site: bool,
    scope_specification: Vec<Rule<'a>>,
}

#[derive(Serialize)]
struct Rule<'a> {
    r#type: &'static str,
    domain: &'static str,
    path: &'a str,
}

#[derive(Serialize)]
struct Credential<'a> {
    r#type: &'static str,
    name: &'a str,
    attributes: String,
}

fn instructions<C: Claims>(engine: &Engine<C>, name: &str) -> Response {
    let cookies = &engine.config.cookies;
    let settings = engine.config.device_bound.as_ref();
    let excluded = settings.map(DeviceBound::excluded).unwrap_or_default();
    let rule = |path| Rule { r#type: "exclude", domain: "*", path };
    json(&Instructions {
        session_identifier: name,
        refresh_url: format!("{}/refresh", settings.map(DeviceBound::path).unwrap_or_default()),
        scope: Scope {
            include_site: false,
            scope_specification: excluded.iter().map(|path| rule(path)).collect(),
        },
        credentials: [Credential {
            r#type: "cookie",
            name: &cookies.access,
            attributes: cookies.access_attributes(),
        }],
    })
}

fn json(body: &impl Serialize) -> Response {
    // INVARIANT: all names of members are text, so JSON can represent `body`.
    let text = serde_json::to_string(body).unwrap_or_default();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
