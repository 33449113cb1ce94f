//! Sign-in through an OpenID Connect provider, at `/auth/sign-in`, if `DEMO_OIDC_ISSUER` names one.
//!
//! `DEMO_OIDC_CLIENT_ID` (default `example`) and `DEMO_OIDC_CLIENT_SECRET` (default: none) are those of the client.
//! `DEMO_OIDC_ADDRESS` is where browsers reach the demo (default `http://localhost:3000`). It needs the features `oidc`
//! and `reqwest`:
//!
//! ```sh
//! tests/servers/oidc_provider sh -c 'DEMO_OIDC_ISSUER=$TEST_OIDC_ISSUER \
//!     DEMO_OIDC_CLIENT_SECRET=a-secret-of-the-example-and-not-more \
//!     cargo run --features oidc,reqwest --example demo' # then http://localhost:3000/auth/sign-in
//! ```

use std::{env, error::Error};

use axum::Router;

use super::App;

/// The routes, if a provider is configured.
pub(crate) fn routes(app: &App) -> Result<Router, Box<dyn Error>> {
    match env::var("DEMO_OIDC_ISSUER") {
        Ok(issuer) => of(app, issuer).map_err(|error| format!("DEMO_OIDC_ISSUER: {error}").into()),
        Err(_) => Ok(Router::new()),
    }
}

#[cfg(all(feature = "oidc", feature = "reqwest"))]
fn of(app: &App, issuer: String) -> Result<Router, Box<dyn Error>> {
    use tower_sliding_sessions::{
        ReqwestClient,
        oidc::{Identity, Oidc, Problem, User},
    };

    let or = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let address = or("DEMO_OIDC_ADDRESS", "http://localhost:3000") + "/auth";
    let client = or("DEMO_OIDC_CLIENT_ID", "example");
    let mut oidc = Oidc::builder(&app.sessions, ReqwestClient::new()?, issuer, client, address);
    if let Ok(secret) = env::var("DEMO_OIDC_CLIENT_SECRET") {
        oidc = oidc.client_secret(secret);
    }
    let users = app.users.clone();
    // A real application looks the user up by issuer and subject.
    let oidc = oidc.build(move |identity: Identity| {
        let user =
            users.profile(&identity.subject, None).map(|profile| User::new(&identity.subject, profile));
        async { user.ok_or(Problem::Refused) }
    })?;
    Ok(oidc.routes())
}

#[cfg(not(all(feature = "oidc", feature = "reqwest")))]
fn of(_: &App, _: String) -> Result<Router, Box<dyn Error>> {
    Err("this demo was built without the features oidc and reqwest".into())
}
