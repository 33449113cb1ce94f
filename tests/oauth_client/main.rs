//! A stock OAuth client in another language, against a real server with short lifetimes.
//!
//! ```sh
//! tests/servers/oauth_client cargo test --features test-util --test oauth_client
//! ```

#![expect(clippy::expect_used, reason = "a failed test is a panic")]

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use tower_sliding_sessions::{
    EventKind, Keyring, Renewed, Session, Sessions,
    oauth::{Grant, GrantError, OAuth},
    protocol::Timing,
};

type Events = Arc<Mutex<Vec<EventKind>>>;

fn sessions(events: &Events) -> Sessions {
    let secs = Duration::from_secs;
    let timing = Timing::default()
        .access_ttl(secs(2))
        .idle_timeout(secs(60))
        .absolute_timeout(secs(600))
        .renew_before(Duration::ZERO)
        .grace(secs(1))
        .write_window(secs(1))
        .crash_window(Duration::ZERO)
        .late_body(secs(2))
        .rotation_interval(secs(4));
    let recorder = events.clone();
    Sessions::builder(Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key"))
        .timing(|_| timing)
        .on_event(move |event| recorder.lock().expect("no panic").push(event.kind.clone()))
        .build()
        .expect("a valid policy")
}

fn application(sessions: &Sessions) -> Router {
    let oauth = OAuth::new(sessions)
        .grant("password", async |request| match (request.username()?, request.password()?) {
            ("ann", "right") => Ok(Grant::new("ann", ()).by(["pwd"])),
            _ => Err(GrantError::InvalidGrant),
        })
        // `service:its-secret`
        .introspection(|head| {
            let given = head.headers.get("authorization");
            given.is_some_and(|given| given == "Basic c2VydmljZTppdHMtc2VjcmV0")
        });
    Router::new()
        .route("/me", get(|session: Session| async move { session.subject().to_owned() }))
        .route_layer(sessions.layer().accept_bearer())
        .nest("/oauth", oauth.router())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_client_signs_in_stays_signed_in_introspects_and_signs_out() {
    let Ok(python) = std::env::var("TEST_OAUTH_PYTHON") else {
        panic!(
            "TEST_OAUTH_PYTHON is not set: it names a Python that has Authlib. \
             Run this by tests/servers/oauth_client, which makes one"
        );
    };
    let events = Events::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let app = application(&sessions(&events));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oauth_client/stock_client.py");
    let run = move || Command::new(python).args([script, &address]).output();
    let output = tokio::task::spawn_blocking(run).await.expect("no panic").expect("a Python");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    let renewals =
        said(&output.stdout).trim().strip_prefix("renewals=").and_then(|n| n.parse::<usize>().ok());
    assert!(renewals.is_some_and(|renewals| renewals >= 2), "{}", said(&output.stdout));

    let count = |kind: &EventKind| events.lock().expect("no panic").iter().filter(|it| *it == kind).count();
    assert!(count(&EventKind::Renewed(Renewed::Rotated)) >= 2);
    assert_eq!(count(&EventKind::ReuseDetected), 0);
    assert_eq!(count(&EventKind::SignedIn), 1);
    server.abort();
}
