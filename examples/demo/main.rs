//! All of the crate in one application: a page for browsers, JSON for other clients.
//!
//! ```sh
//! cargo run --example demo
//! ```
//!
//! There is no password: it is a demo. See `settings.rs` and `provider.rs` for the environment variables.

mod account;
mod admin;
mod api;
mod attacker;
mod counters;
pub(crate) mod device;
mod live;
pub(crate) mod page;
mod provider;
pub(crate) mod settings;
mod store;
mod users;

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::FromRef,
    http::StatusCode,
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower_sliding_sessions::{RequestHead, Sessions, SessionsBuilder};

use self::{attacker::Loot, counters::Counters, settings::Settings, users::Users};

/// The claims of a session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) roles: Vec<String>,
    /// When an admin set the roles of this user.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) version: u64,
}

fn is_zero(version: &u64) -> bool {
    *version == 0
}

impl Profile {
    fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == "admin")
    }
}

/// What the handlers share.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) sessions: Sessions<Profile>,
    pub(crate) users: Users,
    pub(crate) counters: Counters,
    pub(crate) loot: Loot,
}

impl App {
    /// The demo around these sessions, with its hooks.
    pub(crate) fn new(builder: SessionsBuilder<Profile>) -> Result<Self, Box<dyn Error>> {
        let (users, counters) = (Users::default(), Counters::default());
        let (table, counter) = (users.clone(), counters.clone());
        let sessions = builder
            .reload_claims(move |name, claims| table.clone().reload(name, claims))
            .origin(|request| {
                Some(request.headers.get("user-agent")?.to_str().ok()?.chars().take(200).collect())
            })
            .on_event(move |event| counter.note(event))
            .build()?;
        Ok(Self { sessions, users, counters, loot: Loot::default() })
    }
}

pub(crate) fn router(app: &App, page: Arc<str>) -> Router {
    let is_passive = |request: &RequestHead<'_>| request.headers.contains_key("demo-passive");
    let layer = app.sessions.layer().accept_bearer().passive(is_passive);
    let danger = Router::new()
        .route("/danger", post(|| async { StatusCode::NO_CONTENT }))
        .route_layer(app.sessions.require().authenticated_within(Duration::from_secs(60)));
    let admin = Router::new()
        .route("/admin/users/{sub}/roles", post(admin::roles))
        .route("/admin/users/{sub}/lock", post(admin::lock))
        .route("/admin/run-id", post(admin::run_id))
        .route_layer(app.sessions.require().claims(Profile::is_admin));
    let signed_in = Router::new()
        .route("/logout", post(account::logout))
        .route("/me", get(account::me))
        .route("/slow", get(account::slow))
        .route("/status/{code}", get(account::status))
        .route("/stream", get(live::stream))
        .route("/ws", get(live::socket))
        .route("/profile", post(account::profile))
        .route("/sudo", post(account::sudo))
        .route("/attacker", post(attacker::copy))
        .route("/sessions", get(account::list))
        .route("/sessions/{sid}", delete(account::end_one))
        .route("/sessions/revoke-others", post(account::revoke_others))
        .route("/sessions/end-all", post(account::end_all))
        .merge(admin)
        .merge(danger)
        .route_layer(from_fn(account::outcome))
        .route_layer(layer.clone());
    let optional = Router::new()
        .route("/public", get(account::public))
        .route_layer(from_fn(account::outcome))
        .route_layer(layer.optional());
    let demo = Router::new()
        .route("/", get(move || page::show(page.clone())))
        .route("/login", post(account::login))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(counters::show))
        .merge(app.sessions.jwks_routes())
        .merge(device::routes(app))
        .merge(signed_in)
        .merge(optional)
        .merge(api::router(app));
    attacker::with_attacker(demo, app.loot.clone(), app.clone()).with_state(app.clone())
}

/// The demo's own problem details (RFC 9457).
fn problem(status: StatusCode, title: &str) -> Response {
    let body = serde_json::json!({"type": "about:blank", "title": title, "status": status.as_u16()});
    (status, [("content-type", "application/problem+json")], body.to_string()).into_response()
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let app = App::new(settings.sessions().await?)?;
    let bound = TcpListener::bind(settings.addr).await;
    let listener = bound.map_err(|error| format!("DEMO_ADDR: {}: {error}", settings.addr))?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    eprintln!("open it in a browser, or sign in from here:");
    eprintln!("  curl -s -c jar http://{address}/login -d '{{\"user\":\"alice\",\"roles\":[\"admin\"]}}'");
    eprintln!("  curl -s -b jar -c jar http://{address}/me");
    let timing = app.sessions.policy().timing();
    eprintln!(
        "an access token lives {:?}, and a rotation is due after {:?} (DEMO_PRESET=defaults: 300s and 240s)",
        timing.access_ttl, timing.rotation_interval
    );
    let page = page::render(app.sessions.policy());
    axum::serve(listener, router(&app, page).merge(provider::routes(&app)?)).await?;
    Ok(())
}
