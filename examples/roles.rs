//! An admin changed somebody's roles, or locked them. When do their devices notice?
//!
//! At their next request, on every instance. `reload_claims` asks the user table whenever a session
//! is renewed, and `mark_stale` has every device of a user renew at once. Nobody is signed out for
//! it. Without `mark_stale` they notice when their access token runs out: in 5 min, by default.
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
    routing::{delete, get, post, put},
};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Reload, Require, Session, Sessions, SessionsBuilder, Visitor,
};

const TRY: &str = "\
curl -s -c ann -d ann 127.0.0.1:3000/login; curl -s -c root -d root 127.0.0.1:3000/login
curl -i -b ann -c ann 127.0.0.1:3000/reports
curl -X PUT -b root --json '[\"analyst\"]' 127.0.0.1:3000/users/ann/roles  # and again as ann
curl -X DELETE -b root 127.0.0.1:3000/users/ann  # and again as ann";

/// What the handlers read. It is as old as the access token; the table is the truth.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    roles: Vec<String>,
}

impl Profile {
    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|has| has == role)
    }
}

/// Who may sign in, and as what: a database, in a real application.
pub(crate) type Users = Arc<RwLock<HashMap<String, Vec<String>>>>;

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions<Profile>,
    users: Users,
}

async fn login(
    visitor: Visitor<Profile>,
    State(users): State<Users>,
    name: String,
) -> Result<Response, Rejection> {
    // Check a password here.
    let Some(roles) = users.read().await.get(&name).cloned() else {
        return Ok((StatusCode::FORBIDDEN, "No such user.\n").into_response());
    };
    Ok(visitor.sign_in(name, Profile { roles }).await?.into_response())
}

async fn reports(session: Session<Profile>) -> String {
    format!("Secret figures, {}.\n", session.subject())
}

/// First the table, then the devices: they ask the table.
async fn set_roles(
    State(App { sessions, users }): State<App>,
    Path(name): Path<String>,
    Json(roles): Json<Vec<String>>,
) -> Result<StatusCode, Rejection> {
    match users.write().await.get_mut(&name) {
        Some(had) => *had = roles,
        None => return Ok(StatusCode::NOT_FOUND),
    }
    sessions.mark_stale(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every session at once. Had nobody told us, the hook would end each at its next renewal.
async fn lock(
    State(App { sessions, users }): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Rejection> {
    users.write().await.remove(&name);
    sessions.revoke_all(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn app(builder: SessionsBuilder<Profile>, users: Users) -> Result<Router, BuildError> {
    let table = users.clone();
    let hook = move |name: Arc<str>, _| {
        let table = table.clone();
        async move {
            // An error here would be answered with 503: nobody is signed out because a database is away.
            Ok::<_, Infallible>(match table.read().await.get(&*name).cloned() {
                Some(roles) => Reload::Replace(Profile { roles }),
                None => Reload::end("locked"),
            })
        }
    };
    let sessions = builder.reload_claims(hook).build()?;
    let analysts = Router::new()
        .route("/reports", get(reports))
        .route_layer(Require::claims(|profile: &Profile| profile.has("analyst")));
    let admins = Router::new()
        .route("/users/{name}/roles", put(set_roles))
        .route("/users/{name}", delete(lock))
        .route_layer(Require::claims(|profile: &Profile| profile.has("admin")));
    Ok(analysts
        .merge(admins)
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(App { sessions, users }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut secret = [0; 32]; // Keep a real one where all instances find it.
    getrandom::fill(&mut secret)?;
    let users = [("ann", vec![]), ("root", vec!["admin".to_owned()])];
    let users = HashMap::from(users.map(|(name, roles)| (name.to_owned(), roles)));
    let app = app(Sessions::builder(Keyring::hs256(secret)?), Arc::new(RwLock::new(users)))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
