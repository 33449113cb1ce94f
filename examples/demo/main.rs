//! The whole of the crate as an application to try: a page for people, JSON for everyone else.
//!
//! ```sh
//! cargo run --example demo
//! ```
//!
//! There is no password: it is a demo. See `settings.rs` for what the environment can say.

mod account;
mod admin;
pub(crate) mod page;
mod settings;
mod store;

use std::{error::Error, process::ExitCode, sync::Arc};

use axum::{
    Router,
    http::StatusCode,
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower_sliding_sessions::{Require, Sessions};

use self::settings::Settings;

/// What the demo keeps in a session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) roles: Vec<String>,
}

impl Profile {
    fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == "admin")
    }
}

pub(crate) fn router(sessions: &Sessions<Profile>, page: Arc<str>) -> Router {
    let admin = Router::new()
        .route("/admin/run-id", post(admin::run_id))
        .route_layer(Require::claims(Profile::is_admin));
    let signed_in = Router::new()
        .route("/logout", post(account::logout))
        .route("/me", get(account::me))
        .route("/slow", get(account::slow))
        .route("/status/{code}", get(account::status))
        .route("/sessions", get(account::list))
        .route("/sessions/{sid}", delete(account::end_one))
        .route("/sessions/end-others", post(account::end_others))
        .route("/sessions/end-all", post(account::end_all))
        .merge(admin)
        .route_layer(from_fn(account::outcome))
        .route_layer(sessions.layer());
    let optional = Router::new()
        .route("/public", get(account::public))
        .route_layer(from_fn(account::outcome))
        .route_layer(sessions.layer().optional());
    Router::new()
        .route("/", get(move || page::show(page.clone())))
        .route("/login", post(account::login))
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(signed_in)
        .merge(optional)
        .with_state(sessions.clone())
}

/// Problem details (RFC 9457) of the demo's own.
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
    let sessions = settings.sessions().await?;
    let listener = TcpListener::bind(settings.addr).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    eprintln!("open it in a browser, or sign in from here:");
    eprintln!("  curl -si http://{address}/login -d '{{\"user\":\"alice\",\"roles\":[\"admin\"]}}'");
    let page = page::render(sessions.policy());
    axum::serve(listener, router(&sessions, page)).await?;
    Ok(())
}
