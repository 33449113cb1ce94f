//! A held session works after the sessions handle was dropped, and the sessions are freed when nothing
//! holds them.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request},
    routing::get,
};
use tower::ServiceExt as _;
use tower_sliding_sessions::{Keyring, Session, Sessions, store::MemoryStore};

use crate::support::{Probe, idle, keys};

type Held = Arc<Mutex<Option<Session>>>;

/// Sessions whose hook holds `marker`.
fn sessions(store: &Probe, marker: &Arc<()>, keys: Keyring) -> Sessions {
    let marker = marker.clone();
    let on_event = move |_: &_| _ = Arc::strong_count(&marker);
    Sessions::builder(keys).store(store.clone()).on_event(on_event).build().unwrap()
}

/// The `Cookie` header of a browser that has signed in.
async fn cookie(sessions: &Sessions) -> String {
    let mut headers = HeaderMap::new();
    let visitor = sessions.visitor(&Request::new(())).unwrap();
    visitor.sign_in("ann", ()).await.unwrap().apply(&mut headers);
    let lines = headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    lines.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}

/// A session that a handler kept, after everything else was dropped.
async fn kept(store: &Probe, marker: &Arc<()>) -> Session {
    let held = Held::default();
    let sessions = sessions(store, marker, keys(0));
    let keep = async |State(held): State<Held>, session: Session| {
        *held.lock().unwrap() = Some(session);
    };
    let app = Router::new().route("/", get(keep)).route_layer(sessions.layer()).with_state(held.clone());
    let cookie = cookie(&sessions).await;
    // Often enough that this thread keeps a copy of the token.
    for _ in 0..5 {
        let request = Request::get("/").header("cookie", &cookie).body(Body::empty()).unwrap();
        assert!(app.clone().oneshot(request).await.unwrap().status().is_success());
    }
    drop((app, sessions));
    idle().await;
    held.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn session_can_be_signed_out_after_the_sessions_handle_was_dropped() {
    let (store, marker) = (Probe::new(MemoryStore::new().unwrap()), Arc::new(()));
    let session = kept(&store, &marker).await;
    assert_eq!((session.subject(), session.renewed()), ("ann", None));
    let _cookies = session.update(&()).await.unwrap();
    let _cookies = session.sign_out().await.unwrap();
    let others = sessions(&store, &marker, keys(0));
    assert!(others.list("ann").await.unwrap().is_empty());
}

#[tokio::test]
async fn sessions_are_freed_when_the_last_session_is_dropped() {
    let (store, marker) = (Probe::new(MemoryStore::new().unwrap()), Arc::new(()));
    let session = kept(&store, &marker).await;
    assert!(Arc::strong_count(&marker) > 1);
    drop(session);
    idle().await;
    assert_eq!(Arc::strong_count(&marker), 1);
}

#[tokio::test]
async fn sessions_are_freed_where_no_session_is_held() {
    let (store, marker) = (Probe::new(MemoryStore::new().unwrap()), Arc::new(()));
    let one = sessions(&store, &marker, keys(0));
    let layer = one.layer();
    let _remembered = cookie(&one).await;
    drop(one);
    idle().await;
    assert!(Arc::strong_count(&marker) > 1, "the layer holds them");
    drop(layer);
    idle().await;
    assert_eq!(Arc::strong_count(&marker), 1);
}
