//! Open streams and sockets: both close when their session ends, on any instance.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use tokio::time::{Interval, interval};
use tower_sliding_sessions::Session;

use super::Profile;

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Server-sent events, one per second until the session ends. Then `ended`, and the stream closes.
pub(crate) async fn stream(session: Session<Profile>) -> impl IntoResponse {
    struct Open {
        ended: Ended,
        every_second: Interval,
        count: u64,
    }
    let every_second = interval(Duration::from_secs(1));
    let open = Open { ended: Box::pin(session.ended()), every_second, count: 0 };
    let events = stream::unfold(Some(open), async |open| {
        let mut open = open?;
        Some(tokio::select! {
            biased;
            () = &mut open.ended => (Event::default().event("ended").data("signed out"), None),
            _ = open.every_second.tick() => {
                open.count += 1;
                (Event::default().data(open.count.to_string()), Some(open))
            }
        })
    });
    Sse::new(boxed(events)).keep_alive(KeepAlive::default())
}

fn boxed(
    events: impl Stream<Item = Event> + Send + 'static,
) -> Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> {
    use futures_util::StreamExt as _;
    Box::pin(events.map(Ok))
}

/// Echoes messages until the session ends. Then it closes with code 4401.
pub(crate) async fn socket(session: Session<Profile>, upgrade: WebSocketUpgrade) -> impl IntoResponse {
    upgrade.on_upgrade(move |socket| echo(socket, Box::pin(session.ended())))
}

async fn echo(mut socket: WebSocket, mut ended: Ended) {
    loop {
        let said = tokio::select! {
            biased;
            () = &mut ended => {
                let close = CloseFrame { code: 4401, reason: "signed out".into() };
                let _gone_already = socket.send(Message::Close(Some(close))).await;
                return;
            }
            said = socket.recv() => said,
        };
        let Some(Ok(said @ (Message::Text(_) | Message::Binary(_)))) = said else {
            match said {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return,
            }
        };
        // A client that does not read must not keep it open either.
        let sent = tokio::select! {
            biased;
            () = &mut ended => return,
            sent = socket.send(said) => sent,
        };
        if sent.is_err() {
            return;
        }
    }
}
