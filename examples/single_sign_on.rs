//! Sign-in and sign-out through an OpenID Connect provider: Keycloak, Entra ID, Google, Okta, Auth0 and others.
//!
//! A page that needs a session sends its visitor to the provider, and the provider sends them back to the page. A
//! sign-out here ends the provider's session, too. If the provider supports back-channel logout, a sign-out there ends
//! the session here, on all instances.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OIDC_ISSUER` | the provider, such as `https://accounts.google.com` | required |
//! | `OIDC_CLIENT_ID` | the client that you registered there | required |
//! | `OIDC_CLIENT_SECRET` | its secret | none: a public client |
//! | `APP_ADDRESS` | where browsers reach this application | `http://localhost:3000` |
//!
//! Register `http://localhost:3000/auth/sign-in/callback` as a redirect URI, `http://localhost:3000/auth/signed-out` as
//! a post-logout redirect URI and `http://localhost:3000/auth/backchannel-logout` as the back-channel logout URI.
//!
//! Without an account at a provider, run it with the provider of the tests, which takes any name with any password:
//!
//! ```sh
//! tests/servers/oidc_provider sh -c 'OIDC_ISSUER=$TEST_OIDC_ISSUER OIDC_CLIENT_ID=example \
//!     OIDC_CLIENT_SECRET=a-secret-of-the-example-and-not-more \
//!     cargo run --features oidc,reqwest --example single_sign_on'
//! ```

use std::{env, error::Error, time::Duration};

use axum::{Router, response::Html, routing::get};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{
    HttpClient, Keyring, RedirectToLogin, RedirectToReauthentication, ReqwestClient, Session, Sessions,
    SessionsBuilder,
    oidc::{Identity, Oidc, Problem, User},
};

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>
    <meta name=viewport content='width=device-width,initial-scale=1'>
    <title>Single sign-on</title><link rel=icon href='data:,'>";

/// What the session keeps of the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    name: String,
}

/// The client that is registered at the provider.
pub(crate) struct Registration {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<String>,
    /// Where browsers reach this application.
    pub(crate) address: String,
}

/// Who the provider's user is here. A real application looks the user up by issuer and subject, which do not change.
async fn admit(identity: Identity) -> Result<User<Profile>, Problem> {
    let name = identity.text("name").or(identity.verified_email()).unwrap_or(&identity.subject).to_owned();
    Ok(User::new(&identity.subject, Profile { name }))
}

async fn home(session: Option<Session<Profile>>) -> Html<String> {
    let body = match session {
        None => "<h1>Welcome</h1><a id=in href=/account>Your account</a>".to_owned(),
        Some(session) => {
            format!("<h1>Welcome, {}</h1><a href=/account>Your account</a>", escape(&session.claims().name))
        }
    };
    Html(format!("{HEAD}{body}"))
}

async fn account(session: Session<Profile>) -> Html<String> {
    let name = escape(&session.claims().name);
    Html(format!(
        "{HEAD}<h1>{name}</h1><p>Signed in by: {}</p><p><a id=keys href=/account/keys>Your keys</a></p>
         <form method=post action=/auth/sign-out><button id=out>Sign out</button></form>",
        escape(&session.methods().join(", "))
    ))
}

/// Needs an authentication at the provider that is at most 5 minutes old.
async fn keys() -> Html<String> {
    Html(format!("{HEAD}<h1>Your keys</h1><p>You authenticated a moment ago.</p>"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

pub(crate) fn app(
    builder: SessionsBuilder<Profile>,
    http: impl HttpClient,
    registration: Registration,
) -> Result<Router, Box<dyn Error>> {
    let Registration { issuer, client_id, client_secret, address } = registration;
    let sessions = builder.build()?;
    let mut oidc = Oidc::builder(&sessions, http, issuer, client_id, format!("{address}/auth"))
        .scopes(["email", "profile"])
        .userinfo(true);
    if let Some(secret) = client_secret {
        oidc = oidc.client_secret(secret);
    }
    let oidc = oidc.build(admit)?;
    let recent = sessions
        .require()
        .authenticated_within(Duration::from_secs(5 * 60))
        .with_reject(RedirectToReauthentication::new("/auth/sign-in?reauthenticate"));
    Ok(Router::new()
        .route("/account/keys", get(keys))
        .route_layer(recent)
        .route("/account", get(account))
        .route_layer(sessions.layer().with_reject(RedirectToLogin::new("/auth/sign-in")))
        .merge(Router::new().route("/", get(home)).route_layer(sessions.layer().optional()))
        .merge(oidc.routes()) // /auth/sign-in, /auth/sign-out, …: outside of the layers above
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let required =
        |name: &str| env::var(name).map_err(|_| format!("{name} is not set: see the example's text"));
    let registration = Registration {
        issuer: required("OIDC_ISSUER")?,
        client_id: required("OIDC_CLIENT_ID")?,
        client_secret: env::var("OIDC_CLIENT_SECRET").ok(),
        address: env::var("APP_ADDRESS").unwrap_or_else(|_| "http://localhost:3000".to_owned()),
    };
    let mut secret = [0; 32]; // A real one must be the same on all instances.
    getrandom::fill(&mut secret)?;
    let app = app(Sessions::builder(Keyring::hs256(secret)?), ReqwestClient::new()?, registration)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000");
    axum::serve(listener, app).await?;
    Ok(())
}
