//! How long do sessions last, and what determines it?
//!
//! The builder sets the longest lifetime of all sessions, and a sign-in may request a shorter one. Timing
//! that could sign legitimate clients out is refused at start, and the error says why: see `main`.
//!
//! ```sh
//! cargo run --example lifetimes
//! ```

use std::{error::Error, time::Duration};

use axum::{
    Form, Router,
    routing::{get, post},
};
use serde::Deserialize;
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor, protocol::Timing,
};

const TRY: &str = "\
curl -i -d name=ann 127.0.0.1:3000/login  # an hour unused, a day at most
curl -i -d 'name=ann&stay=remembered' 127.0.0.1:3000/login  # cookies with a Max-Age
curl -i -d 'name=root&stay=briefly' 127.0.0.1:3000/login";

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
struct Login {
    name: String,
    stay: Option<String>,
}

async fn login(visitor: Visitor, Form(login): Form<Login>) -> Result<SetCookies, Rejection> {
    // Check a password here.
    let sign_in = visitor.sign_in(login.name, ());
    let sign_in = match login.stay.as_deref() {
        Some("remembered") => sign_in.remember_me(true),
        Some("briefly") => sign_in.idle_timeout(15 * MINUTE).absolute_timeout(60 * MINUTE),
        _ => {
            let aal2 = Timing::aal2(); // NIST SP 800-63B: one hour idle, one day at most
            sign_in.idle_timeout(aal2.idle_timeout).absolute_timeout(aal2.absolute_timeout)
        }
    };
    Ok(sign_in.await?)
}

async fn home(session: Session) -> String {
    format!("Hello, {}.\n", session.subject())
}

/// The longest lifetime of any session: that of "remember me".
pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions =
        builder.timing(|timing| timing.idle_timeout(14 * DAY).absolute_timeout(30 * DAY)).build()?;
    Ok(Router::new()
        .route("/", get(home))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let keys = Keyring::random()?;
    if let Err(error) =
        Sessions::<()>::builder(keys.clone()).timing(|timing| timing.idle_timeout(5 * MINUTE)).build()
    {
        println!("5 min unused is refused: {error}");
    }
    let app = app(Sessions::builder(keys))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
