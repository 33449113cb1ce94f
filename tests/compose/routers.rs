//! axum routers: `layer` and `route_layer`, with stacks of layers, and with every kind of state.

use std::{sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::{FromRef, State},
    http::{Request, StatusCode, header},
    routing::{get, post},
};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer,
    limit::RequestBodyLimitLayer, normalize_path::NormalizePathLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_sliding_sessions::{Rejection, Session, Sessions, SetCookies, Visitor};

use crate::support::World;

async fn who(session: Session) -> String {
    session.subject().to_owned()
}

fn routes() -> Router {
    Router::new().route("/", get(who))
}

#[tokio::test]
async fn router_accepts_the_layer_once_twice_and_with_a_rule() {
    let world = World::new();
    world.check::<_, Body, _>(routes().layer(world.sessions.layer())).await;
    world.check::<_, Body, _>(routes().route_layer(world.sessions.layer())).await;
    world.check::<_, Body, _>(routes().layer(world.sessions.layer()).layer(world.sessions.layer())).await;
    let rule = world.sessions.require().claims(|()| true);
    world.check::<_, Body, _>(routes().route_layer(rule).route_layer(world.sessions.layer())).await;
}

#[tokio::test]
async fn router_accepts_stacks_of_layers_in_every_order() {
    let world = World::new();
    let ours = || world.sessions.layer();
    let outside = ServiceBuilder::new()
        .layer(ours())
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(1024))
        .layer(CatchPanicLayer::new());
    world.check::<_, Body, _>(routes().layer(outside)).await;
    let inside = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
        .layer(CorsLayer::permissive())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(60)))
        .layer(RequestBodyLimitLayer::new(1024))
        .layer(ours());
    world.check::<_, Body, _>(routes().layer(inside)).await;
    let busy = |_: BoxError| async { StatusCode::SERVICE_UNAVAILABLE };
    let limited = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(busy))
        .layer(ours())
        .load_shed()
        .concurrency_limit(8)
        .timeout(Duration::from_secs(60));
    world.check::<_, Body, _>(routes().layer(limited)).await;
    let whole = ServiceBuilder::new()
        .layer(NormalizePathLayer::trim_trailing_slash())
        .layer(ours())
        .layer(TraceLayer::new_for_http())
        .service(routes());
    world.check::<_, Body, _>(whole).await;
}

async fn login(visitor: Visitor) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_in(7_u64, ()).await?)
}

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    name: String,
}

/// A state that is shared and not cloned.
struct Shared {
    sessions: Sessions,
    name: String,
}

impl FromRef<Shared> for Sessions {
    fn from_ref(shared: &Shared) -> Self {
        shared.sessions.clone()
    }
}

async fn signs_in(router: Router) {
    let response = router.oneshot(Request::post("/login").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), 2);
}

#[tokio::test]
async fn visitor_is_extracted_from_every_kind_of_state() {
    let sessions = World::new().sessions;
    let routes = || Router::new().route("/login", post(login));
    signs_in(routes().with_state(sessions.clone())).await;
    let app = App { sessions: sessions.clone(), name: "shop".to_owned() };
    let name = get(|State(app): State<App>| async move { app.name });
    signs_in(Router::new().route("/login", post(login)).route("/name", name).with_state(app.clone())).await;
    signs_in(Router::new().route("/login", post(login)).with_state(Arc::new(app))).await;
    let shared = Shared { sessions, name: "shop".to_owned() };
    let name = get(|State(shared): State<Arc<Shared>>| async move { shared.name.clone() });
    let router = Router::new().route("/login", post(login)).route("/name", name);
    signs_in(router.with_state(Arc::new(shared))).await;
}
