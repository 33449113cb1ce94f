//! How do phones and API clients sign in? At a token endpoint, and then with a bearer token. Browsers
//! keep their cookies. Both are sessions of the same kind.
//!
//! ```sh
//! cargo run --example api_clients
//! curl -s 127.0.0.1:3000/oauth/token -d grant_type=password -d username=ann -d password=correct
//! curl -s 127.0.0.1:3000/me -H "Authorization: Bearer $ACCESS_TOKEN"
//! curl -s 127.0.0.1:3000/oauth/token -d grant_type=refresh_token -d refresh_token=$REFRESH_TOKEN
//! curl -s 127.0.0.1:3000/oauth/revoke -d token=$REFRESH_TOKEN
//! ```

use std::{error::Error, sync::Arc};

use axum::{
    Json, Router,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{
    Keyring, Rejection, Session, Sessions, Visitor,
    oauth::{Grant, GrantError, OAuth},
};

#[derive(Clone, Serialize, Deserialize)]
struct Profile {
    roles: Vec<String>,
}

/// Checks passwords. A real application asks a database, and delays its answer to a wrong password.
struct Users;

impl Users {
    async fn check(&self, _name: &str, password: &str) -> Option<Profile> {
        (password == "correct").then(|| Profile { roles: vec!["reader".to_owned()] })
    }
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

/// How a browser signs in.
async fn login(visitor: Visitor<Profile>, Json(login): Json<Login>) -> Result<impl IntoResponse, Rejection> {
    let Some(profile) = Users.check(&login.name, &login.password).await else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    Ok(visitor.sign_in(login.name, profile).await?.into_response())
}

/// Works for both: the session is the same for cookies and for a bearer token.
async fn me(session: Session<Profile>) -> Json<Profile> {
    Json(session.claims().clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::<Profile>::builder(Keyring::random()?).build()?;

    let users = Arc::new(Users);
    let oauth = OAuth::new(&sessions).grant("password", move |request| {
        let users = users.clone();
        async move {
            let (name, password) = (request.username()?, request.password()?);
            let profile = users.check(name, password).await.ok_or(GrantError::InvalidGrant)?;
            Ok(Grant::new(name, profile).by(["pwd"]))
        }
    });

    let app = Router::new()
        .route("/me", get(me))
        .route_layer(sessions.layer().accept_bearer()) // cookies, or an access token
        .route("/login", post(login))
        .nest("/oauth", oauth.router()) // /oauth/token and /oauth/revoke
        .with_state(sessions);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
