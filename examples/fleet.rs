//! Three instances on one store, and a browser that moves between them.
//!
//! ```sh
//! cargo run --example fleet --features sqlite
//! ```
//!
//! Open any of the three. Cookies do not depend on the port, so the same session works on the others.
//! Sign out on one, and you are signed out on all. Restart the example, and you are still signed in.

use std::{error::Error, sync::Arc};

use axum::{
    Router,
    extract::{FromRef, State},
    response::{Html, Redirect},
    routing::{get, post},
};
use tower_sliding_sessions::{
    Keyring, Rejection, Session, Sessions, SetCookies, Visitor, store::SqliteStore,
};

const PORTS: [u16; 3] = [3001, 3002, 3003];

#[derive(Clone, FromRef)]
struct Instance {
    sessions: Sessions,
    name: Arc<str>,
}

async fn page(State(instance): State<Instance>, session: Option<Session>) -> Html<String> {
    let links = PORTS.map(|port| format!("<a href=http://127.0.0.1:{port}/>{port}</a>")).join(" ");
    let (who, button) = match session {
        Some(session) => {
            let how = session.renewed().map_or("checked in memory".to_owned(), |how| format!("{how:?}"));
            (format!("signed in, generation {}, {how}", session.generation()), ("logout", "Sign out"))
        }
        None => ("not signed in".to_owned(), ("login", "Sign in as Ann")),
    };
    let (action, label) = button;
    Html(format!(
        "<!doctype html><title>{0}</title><h1>Instance {0}</h1><p>You are {who}.</p>\
         <form method=post action=/{action}><button>{label}</button></form><p>Go to {links}.</p>",
        instance.name
    ))
}

async fn login(visitor: Visitor) -> Result<(SetCookies, Redirect), Rejection> {
    Ok((visitor.sign_in("ann", ()).await?, Redirect::to("/")))
}

async fn logout(visitor: Visitor) -> Result<(SetCookies, Redirect), Rejection> {
    Ok((visitor.sign_out().await?, Redirect::to("/")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // All instances need the same key. This one is for the example: keep a real key secret.
    let keys = Keyring::hs256("only for the example: tq3Vx8Lw2Zr9")?;
    let file = std::env::temp_dir().join("tower-sliding-sessions-fleet.db");
    let mut servers = tokio::task::JoinSet::new();
    for port in PORTS {
        // Each has its own store object for one file, like separate processes.
        let store = SqliteStore::open(&format!("sqlite:{}", file.display())).await?;
        let sessions = Sessions::builder(keys.clone()).store(store).build()?;
        let app = Router::new()
            .route("/", get(page))
            .route_layer(sessions.layer().optional())
            .route("/login", post(login))
            .route("/logout", post(logout))
            .with_state(Instance { sessions, name: port.to_string().into() });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        println!("http://127.0.0.1:{port}");
        servers.spawn(async { axum::serve(listener, app).await });
    }
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}
