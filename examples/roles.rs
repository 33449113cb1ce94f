//! An admin changed a user's roles, or locked the user. When does that apply on their devices?
//!
//! At their next request, on every instance. The `reload_claims` hook reads the user table at each
//! renewal, and `mark_stale` makes every device of a user renew at its next request. No session is revoked.
//! Without `mark_stale` the change applies when the access token expires: after 5 min, by default.
//!
//! ```sh
//! cargo run --example roles
//! ```

use std::{collections::HashMap, convert::Infallible, error::Error, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use tokio::sync::RwLock;
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Reload, Require, Session, Sessions, SessionsBuilder, Visitor,
};

const TRY: &str = "\
curl -s -c ann -d ann 127.0.0.1:3000/login; curl -s -c root -d root 127.0.0.1:3000/login
curl -i -b ann -c ann 127.0.0.1:3000/reports  # forbidden
curl -X PUT -b root --json '[\"analyst\"]' 127.0.0.1:3000/users/ann  # now ann may
curl -X PUT -b root --json null 127.0.0.1:3000/users/ann  # now ann is out";

/// A session's copy of the roles. It is as old as the access token; the table is authoritative.
pub(crate) type Roles = Vec<String>;

/// The roles of all users, and none for a locked one: a database, in a real application.
pub(crate) type Users = Arc<RwLock<HashMap<String, Option<Roles>>>>;

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions<Roles>,
    users: Users,
}

async fn login(visitor: Visitor<Roles>, users: State<Users>, name: String) -> Result<Response, Rejection> {
    // Check a password here.
    match users.read().await.get(&name).cloned().flatten() {
        Some(roles) => Ok(visitor.sign_in(name, roles).await?.into_response()),
        None => Ok(StatusCode::FORBIDDEN.into_response()),
    }
}

async fn reports(session: Session<Roles>) -> String {
    format!("Secret figures, {}.\n", session.subject())
}

/// First the table, then the devices: their renewals read the table.
async fn set_roles(
    State(App { sessions, users }): State<App>,
    Path(name): Path<String>,
    Json(roles): Json<Option<Roles>>,
) -> Result<StatusCode, Rejection> {
    let is_locked = roles.is_none();
    users.write().await.insert(name.clone(), roles);
    sessions.mark_stale(&name).await?;
    if is_locked {
        sessions.revoke_all(&name).await?; // the hook would suffice; this also closes open streams at once
    }
    Ok(StatusCode::NO_CONTENT)
}

fn only(sessions: &Sessions<Roles>, role: &'static str) -> Require<Roles> {
    sessions.require().claims(move |roles| roles.iter().any(|has| has == role))
}

pub(crate) fn app(builder: SessionsBuilder<Roles>, users: Users) -> Result<Router, BuildError> {
    let table = users.clone();
    let reload = move |name: Arc<str>, _| {
        let table = table.clone();
        async move {
            // An error here is a 503: a database outage signs no user out.
            Ok::<_, Infallible>(match table.read().await.get(&*name).cloned().flatten() {
                Some(roles) => Reload::Replace(roles),
                None => Reload::revoke("locked"),
            })
        }
    };
    let sessions = builder.reload_claims(reload).build()?;
    Ok(Router::new()
        .route("/reports", get(reports).route_layer(only(&sessions, "analyst")))
        .route("/users/{name}", put(set_roles).route_layer(only(&sessions, "admin")))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(App { sessions, users }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let users = [("ann", vec![]), ("root", vec!["admin".to_owned()])];
    let users = users.map(|(name, roles)| (name.to_owned(), Some(roles)));
    let app = app(Sessions::builder(Keyring::random()?), Arc::new(RwLock::new(users.into())))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
