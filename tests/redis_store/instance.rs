//! One process of the application.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, Request, StatusCode, header},
    routing::{get, post},
};
use tower::ServiceExt as _;
use tower_sliding_sessions::{Keyring, Session, Sessions, Visitor, store::RedisStore};

#[derive(Clone, Default)]
pub(crate) struct Jar(pub(crate) BTreeMap<String, String>);

impl Jar {
    fn take(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let pair = line.to_str().expect("text").split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie");
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// The name and the outcome of an event.
type Noted = (&'static str, Option<&'static str>);

#[derive(Clone)]
pub(crate) struct Instance {
    app: Router,
    events: Arc<Mutex<Vec<Noted>>>,
}

impl Instance {
    pub(crate) fn start(store: RedisStore) -> Self {
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let events: Arc<Mutex<Vec<_>>> = Arc::default();
        let noted = Arc::clone(&events);
        let seconds = Duration::from_secs;
        let sessions: Sessions = Sessions::builder(keys)
            .store(store)
            .timing(|timing| {
                let timing = timing.access_ttl(seconds(1)).renew_before(Duration::ZERO).grace(seconds(2));
                timing.write_window(seconds(1)).rotation_interval(seconds(6)).idle_timeout(seconds(600))
            })
            .on_event(move |event| {
                noted.lock().expect("no panic").push((event.kind.name(), event.kind.outcome()));
            })
            .build()
            .expect("valid settings");
        let app = Router::new()
            .route("/me", get(async |session: Session| session.subject().to_owned()))
            .route_layer(sessions.layer())
            .route(
                "/login/{name}",
                post(async |visitor: Visitor, Path(name): Path<String>| visitor.sign_in(name, ()).await),
            )
            .route("/logout", post(async |visitor: Visitor| visitor.sign_out().await))
            .with_state(sessions.clone());
        Self { app, events }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, jar: &mut Jar) -> StatusCode {
        let cookies = jar.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
        let request = request.header(header::COOKIE, cookies.join("; "));
        let response = self.app.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
        let response = response.expect("an answer");
        jar.take(response.headers());
        response.status()
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Jar {
        let mut jar = Jar::default();
        assert_eq!(self.send("POST", &format!("/login/{name}"), &mut jar).await, StatusCode::OK);
        jar
    }

    /// The last events of other kinds than renewals, the newest last.
    pub(crate) fn last_events(&self) -> Vec<Noted> {
        let events = self.events.lock().expect("no panic");
        let mut last: Vec<_> =
            events.iter().rev().filter(|(name, _)| *name != "session_renewed").take(12).copied().collect();
        last.reverse();
        last
    }

    /// How many events had this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.events.lock().expect("no panic").iter().filter(|(noted, _)| *noted == name).count()
    }

    pub(crate) fn has(&self, name: &'static str, outcome: &'static str) -> bool {
        self.events.lock().expect("no panic").contains(&(name, Some(outcome)))
    }
}
