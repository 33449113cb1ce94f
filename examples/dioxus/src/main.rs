//! How do I use sessions in Dioxus fullstack, with server functions?
//!
//! ```sh
//! cargo run --manifest-path examples/dioxus/Cargo.toml
//! ```
//!
//! One layer is around the page and the server functions. A server function names the session in its attribute, as
//! an extractor. Sign-in and sign-out return their cookies: `FullstackContext::add_response_header` keeps one
//! `Set-Cookie` only, and a session has two. The page is rendered by the server, and its forms work without a script.
//! If your package also has a client build, put the code that uses this crate behind `#[cfg(feature = "server")]`.

use std::error::Error;

use axum::{
    Extension, Router,
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use dioxus::{
    fullstack::{Form, FromResponseParts, HttpError},
    prelude::*,
};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

#[cfg(test)]
mod tests;

const TRY: &str = "\
open http://127.0.0.1:3000, or:
curl -i -c jar -d name=ann -d password=swordfish 127.0.0.1:3000/api/sign_in
curl -b jar 127.0.0.1:3000/
curl -b jar 127.0.0.1:3000/api/secret
curl -i 127.0.0.1:3000/api/secret  # 401";

/// None for an anonymous visitor.
#[get("/api/user_name", session: Option<Session>)]
async fn user_name() -> Result<Option<String>, ServerFnError> {
    Ok(session.map(|session| session.subject().to_owned()))
}

/// Only for users: otherwise 401.
#[get("/api/secret", session: Session)]
async fn secret() -> Result<String, ServerFnError> {
    Ok(format!("{}, the answer is 42.", session.subject()))
}

#[derive(Serialize, Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

#[post("/api/sign_in", sender: Sender)]
async fn sign_in(credentials: Form<Credentials>) -> Result<Cookies, ServerFnError> {
    let Form(Credentials { name, password }) = credentials;
    // Check the password against your users here.
    if password != "swordfish" {
        return Err(refuse(Rejection::unauthenticated()));
    }
    Ok(Cookies(Some(sender.0.sign_in(name, ()).await.map_err(refuse)?)))
}

#[post("/api/sign_out", sender: Sender)]
async fn sign_out() -> Result<Cookies, ServerFnError> {
    Ok(Cookies(Some(sender.0.sign_out().await.map_err(refuse)?)))
}

/// A [`Visitor`] for server functions, whose state is that of Dioxus. A request from another site is refused here.
struct Sender(Visitor);

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let sessions = Extension::<Sessions>::from_request_parts(parts, state).await;
        let Extension(sessions) = sessions.map_err(IntoResponse::into_response)?;
        let visitor = Visitor::from_request_parts(parts, &sessions).await;
        visitor.map(Self).map_err(IntoResponse::into_response)
    }
}

/// The answer to a sign-in and a sign-out: the cookies, and the way back to the page.
struct Cookies(Option<SetCookies>);

impl IntoResponse for Cookies {
    fn into_response(self) -> Response {
        (self.0, Redirect::to("/")).into_response()
    }
}

/// In a client the browser has kept them.
impl FromResponseParts for Cookies {
    fn from_response_parts(_: &mut axum::http::response::Parts) -> Result<Self, ServerFnError> {
        Ok(Self(None))
    }
}

/// An error with the status of the refusal.
fn refuse(why: impl Into<Rejection>) -> ServerFnError {
    let status = why.into().status();
    HttpError::new(status, status.canonical_reason().unwrap_or("refused")).into()
}

#[allow(non_snake_case, reason = "a component")]
fn Page() -> Element {
    let name = use_loader(user_name)?;
    let name = name.read().clone();
    rsx! {
        if let Some(name) = name {
            p { "Hello, {name}." }
            form { method: "post", action: "/api/sign_out", button { "Sign out" } }
        } else {
            form { method: "post", action: "/api/sign_in",
                input { name: "name", placeholder: "Name" }
                input { name: "password", r#type: "password", placeholder: "swordfish" }
                button { "Sign in" }
            }
        }
    }
}

fn app(builder: SessionsBuilder) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    let layer = sessions.layer().optional();
    Ok(Router::new()
        // With a client build, `serve_dioxus_application`: it serves the folder `public` of that build, too.
        .serve_api_application(ServeConfig::new(), Page)
        .layer(Extension(sessions))
        .layer(layer))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
