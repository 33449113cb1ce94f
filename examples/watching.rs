//! Events for operators: what to log, and what to alert on.
//!
//! Every decision is an event. With the feature `tracing` (a default) each is a record with the
//! fields `event`, `outcome`, `realm` and `session`, never a token. With the feature `metrics` each
//! counts in `sliding_sessions_events_total`, by `event`, `outcome` and `realm`; install an exporter of
//! your choice. `on_event` gets the same, typed:
//!
//! | severity | such as | what to do |
//! |---|---|---|
//! | critical | `authn_token_reuse`: a copied token was used | alert an operator, tell the user |
//! | warning | `session_store_failed`, `session_feed_lagging`, `session_reload_failed` | alert on the rate: renewals fail, or revocations come late |
//! | warning | `malicious_csrf`, `session_conflicting_cookies`, `excess_sessions_exceeded` | watch the trend |
//! | info | `session_created`, `session_renewed`, `authn_token_revoked` | keep: it is the audit trail |
//! | debug | `access_token_invalid`, `refresh_token_invalid` | nothing: anyone can cause it |
//!
//! ```sh
//! cargo run --example watching
//! ```

use std::{error::Error, time::Duration};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};
use tokio::sync::mpsc;
use tower_sliding_sessions::{
    BuildError, Event, EventKind, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies,
    Severity, Visitor, protocol::Timing,
};

const TRY: &str = "\
curl -s -c jar -d ann 127.0.0.1:3000/login; cp jar copied
sleep 12; curl -b jar -c jar 127.0.0.1:3000; curl -b jar -c jar 127.0.0.1:3000
sleep 4; curl -i -b copied 127.0.0.1:3000  # the reuse is detected: see the log";

/// As text for operators. `kind.name()` and `kind.outcome()` are stable, for machines.
pub(crate) fn describe(event: &Event) -> String {
    let whose = event.subject.as_deref().unwrap_or("an unknown user");
    match &event.kind {
        EventKind::ReuseDetected => format!("WAKE UP: a copied token of {whose} was used; it is void now"),
        other => format!("{}: {whose}", other.name()),
    }
}

/// A 401 gives the client no reason. The reason is in the response's extensions.
async fn log_rejections(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if let Some(rejection) = response.extensions().get::<Rejection>() {
        println!("{path}: {:?}", rejection.kind());
    }
    response
}

async fn login(visitor: Visitor, name: String) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, ()).await?)
}

async fn home(session: Session) -> String {
    format!("Hello, {}.\n", session.subject())
}

pub(crate) fn app(builder: SessionsBuilder<()>, alerts: mpsc::Sender<Event>) -> Result<Router, BuildError> {
    let hook = move |event: &Event| {
        if event.kind.severity() >= Severity::Warning {
            // A request waits for this hook, so it only puts the event into a queue. A full queue drops
            // events.
            let _full = alerts.try_send(event.clone());
        }
    };
    let sessions = builder.on_event(hook).build()?;
    Ok(Router::new()
        .route("/", get(home))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .layer(from_fn(log_rejections))
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    // Short, so that you need not wait long for the reuse. Without a crash window, a successor is confirmed by the
    // first request that carries it.
    let secs = Duration::from_secs;
    let timing = Timing::default()
        .access_ttl(secs(10))
        .grace(secs(2))
        .write_window(secs(2))
        .crash_window(Duration::ZERO)
        .rotation_interval(secs(10));
    let (alerts, mut inbox) = mpsc::channel(1000);
    let app = app(Sessions::builder(Keyring::random()?).timing(|_| timing), alerts)?;
    tokio::spawn(async move {
        while let Some(event) = inbox.recv().await {
            println!("{}", describe(&event));
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
