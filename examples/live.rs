//! How do I close event streams and WebSockets when their session ends?
//!
//! A request is checked when it arrives. A stream that stays open after that must watch its session:
//! `session.ended()` returns when the session was signed out, revoked, or has expired, on any instance.
//!
//! ```sh
//! cargo run --example live
//! ```

use std::{convert::Infallible, error::Error, future::ready, pin::pin, time::Duration};

use axum::{
    Router,
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use tokio::time::{Interval, interval};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

const TRY: &str = "\
curl -s -c jar -d ann 127.0.0.1:3000/login
curl -N -b jar 127.0.0.1:3000/events &
sleep 3; curl -b jar -d '' 127.0.0.1:3000/logout  # and the stream closes";

/// A tick each second, until the session ends. Then `signed-out`, which tells the page.
async fn events(session: Session) -> impl IntoResponse {
    let ticks = stream::unfold(interval(Duration::from_secs(1)), async |mut each_second: Interval| {
        each_second.tick().await;
        Some((Event::default().event("tick").data("tick"), each_second))
    });
    let bye = Event::default().event("signed-out").data("Sign in again.");
    let events = ticks.take_until(session.ended()).chain(stream::once(ready(bye)));
    Sse::new(events.map(Ok::<_, Infallible>))
}

async fn socket(session: Session, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| echo(socket, session))
}

/// Echoes messages until the session ends. Then it closes with an application code.
async fn echo(mut socket: WebSocket, session: Session) {
    let mut ended = pin!(session.ended());
    loop {
        tokio::select! {
            biased;
            () = &mut ended => {
                let bye = CloseFrame { code: 4401, reason: "signed out".into() };
                let _gone_already = socket.send(Message::Close(Some(bye))).await;
                return;
            }
            said = socket.recv() => match said {
                Some(Ok(said @ Message::Text(_))) => if socket.send(said).await.is_err() { return },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

async fn login(visitor: Visitor, name: String) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, ()).await?)
}

async fn logout(session: Session) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    Ok(Router::new()
        .route("/events", get(events))
        .route("/socket", get(socket))
        .route("/logout", post(logout))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
