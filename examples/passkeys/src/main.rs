//! How do I sign users in with passkeys (WebAuthn), and ask for the passkey again before something dangerous?
//!
//! ```sh
//! cargo run --manifest-path examples/passkeys/Cargo.toml
//! ```
//!
//! Open <http://localhost:3000>: passkeys belong to a host name, so `127.0.0.1` does not work. The ceremonies are
//! those of webauthn-rs. Each has two requests: `start` answers with a challenge, and `finish` takes what the
//! authenticator signed. In between the server remembers the state, and a cookie of 5 minutes says which one.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tower_sliding_sessions::{Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor};
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, Passkey, PasskeyAuthentication, PublicKeyCredential, RegisterPublicKeyCredential,
    Url, Webauthn, WebauthnBuilder, WebauthnError,
};

use self::ceremonies::{Ceremonies, Ceremony};

mod ceremonies;
#[cfg(test)]
mod tests;

const TRY: &str = "\
open http://localhost:3000 in a browser; or see the two halves with curl:
curl -i -H 'content-type: application/json' -d '{\"name\":\"ann\"}' http://localhost:3000/register/start
curl -i -d '' http://localhost:3000/transfer  # 401";

/// The methods of a passkey (RFC 8176): a key that the device keeps, and the user was verified.
const PASSKEY: [&str; 2] = ["hwk", "user"];

struct User {
    id: Uuid,
    passkeys: Vec<Passkey>,
}

struct App {
    sessions: Sessions,
    webauthn: Webauthn,
    ceremonies: Ceremonies,
    users: Mutex<HashMap<String, User>>,
}

impl FromRef<App> for Sessions {
    fn from_ref(app: &App) -> Self {
        app.sessions.clone()
    }
}

impl App {
    fn users(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, ceremony: Ceremony, challenge: impl serde::Serialize) -> Result<Response, Refused> {
        let cookie = self.ceremonies.begin(ceremony, self.sessions.now()).ok_or(Refused::Busy)?;
        Ok((cookie, Json(challenge)).into_response())
    }

    /// Checks what the authenticator signed, and keeps its new counter.
    fn authenticate(
        &self,
        name: &str,
        state: &PasskeyAuthentication,
        signed: &PublicKeyCredential,
    ) -> Result<AuthenticationResult, Refused> {
        let result = self.webauthn.finish_passkey_authentication(signed, state)?;
        let mut users = self.users();
        let user = users.get_mut(name).ok_or(Refused::Wrong)?;
        // A passkey that was removed in the meantime does not count.
        let known = user.passkeys.iter_mut().filter_map(|passkey| passkey.update_credential(&result)).count();
        if known == 1 { Ok(result) } else { Err(Refused::Wrong) }
    }
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

async fn register_start(
    State(app): State<Arc<App>>,
    Json(Name { name }): Json<Name>,
) -> Result<Response, Refused> {
    if app.users().contains_key(&name) {
        return Err(Refused::Taken);
    }
    let id = Uuid::new_v4();
    let (challenge, state) = app.webauthn.start_passkey_registration(id, &name, &name, None)?;
    app.begin(Ceremony::Registration { name, id, state }, challenge)
}

/// A new user is signed in.
async fn register_finish(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(created): Json<RegisterPublicKeyCredential>,
) -> Result<SetCookies, Refused> {
    let Some(Ceremony::Registration { name, id, state }) =
        app.ceremonies.finish(&headers, app.sessions.now())
    else {
        return Err(Refused::Wrong);
    };
    let passkey = app.webauthn.finish_passkey_registration(&created, &state)?;
    {
        let mut users = app.users();
        if users.contains_key(&name) {
            return Err(Refused::Taken);
        }
        users.insert(name.clone(), User { id, passkeys: vec![passkey] });
    }
    Ok(visitor.sign_in(name, ()).by(PASSKEY).await.map_err(Rejection::from)?)
}

/// It tells which names have an account. Discoverable passkeys, which need no name, do not.
async fn login_start(
    State(app): State<Arc<App>>,
    Json(Name { name }): Json<Name>,
) -> Result<Response, Refused> {
    let passkeys = app.users().get(&name).ok_or(Refused::Wrong)?.passkeys.clone();
    let (challenge, state) = app.webauthn.start_passkey_authentication(&passkeys)?;
    app.begin(Ceremony::SignIn { name, state }, challenge)
}

async fn login_finish(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(signed): Json<PublicKeyCredential>,
) -> Result<SetCookies, Refused> {
    let Some(Ceremony::SignIn { name, state }) = app.ceremonies.finish(&headers, app.sessions.now()) else {
        return Err(Refused::Wrong);
    };
    app.authenticate(&name, &state, &signed)?;
    Ok(visitor.sign_in(name, ()).by(PASSKEY).await.map_err(Rejection::from)?)
}

async fn step_up_start(session: Session, State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let passkeys = app.users().get(session.subject()).ok_or(Refused::Wrong)?.passkeys.clone();
    let (challenge, state) = app.webauthn.start_passkey_authentication(&passkeys)?;
    app.begin(Ceremony::StepUp { session: session.id(), state }, challenge)
}

async fn step_up_finish(
    session: Session,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(signed): Json<PublicKeyCredential>,
) -> Result<SetCookies, Refused> {
    match app.ceremonies.finish(&headers, app.sessions.now()) {
        Some(Ceremony::StepUp { session: id, state }) if id == session.id() => {
            app.authenticate(session.subject(), &state, &signed)?;
            Ok(session.reauthenticate(PASSKEY).await.map_err(Rejection::from)?)
        }
        _ => Err(Refused::Wrong),
    }
}

async fn me(session: Session, State(app): State<Arc<App>>) -> String {
    let id = app.users().get(session.subject()).map(|user| user.id);
    format!("{} ({}), by {:?}", session.subject(), id.unwrap_or_default(), session.methods())
}

async fn logout(visitor: Visitor) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_out().await?)
}

/// Why a ceremony was refused.
enum Refused {
    Wrong,
    Taken,
    Busy,
    Sessions(Rejection),
}

impl From<WebauthnError> for Refused {
    /// The cause is for the log of the server.
    fn from(cause: WebauthnError) -> Self {
        eprintln!("passkey refused: {cause}");
        Self::Wrong
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Sessions(rejection)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Wrong => (StatusCode::FORBIDDEN, "The passkey was not accepted.").into_response(),
            Self::Taken => (StatusCode::CONFLICT, "This name is taken.").into_response(),
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Self::Sessions(rejection) => rejection.into_response(),
        }
    }
}

/// `origin` is that of the page, such as `https://example.com`.
fn app(builder: SessionsBuilder, origin: &str) -> Result<Router, Box<dyn Error>> {
    let sessions = builder.build()?;
    let origin = Url::parse(origin)?;
    let host = origin.host_str().ok_or("an origin without a host")?;
    let webauthn = WebauthnBuilder::new(host, &origin)?.build()?;
    let recently = sessions.require().method_within("hwk", Duration::from_secs(60));
    let app = App { sessions, webauthn, ceremonies: Ceremonies::default(), users: Mutex::default() };
    Ok(Router::new()
        .route("/transfer", post(|| async { "Sent." }).route_layer(recently))
        .route("/me", get(me))
        .route("/step-up/start", post(step_up_start))
        .route("/step-up/finish", post(step_up_finish))
        .route_layer(app.sessions.layer())
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/register/start", post(register_start))
        .route("/register/finish", post(register_finish))
        .route("/login/start", post(login_start))
        .route("/login/finish", post(login_finish))
        .route("/logout", post(logout))
        .with_state(Arc::new(app)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?), "http://localhost:3000")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
