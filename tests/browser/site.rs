//! The application of these tests on two ports, and a log of its requests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio::net::TcpListener;
use tower_sliding_sessions::{
    EventKind, Keyring, ManualClock, Renewed, Sessions, SessionsBuilder, Timestamp,
};

use crate::{app, driver::Browser};

/// A request and its response.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    /// Whether it carried a refresh cookie.
    pub(crate) cookies: bool,
    /// Whether its cookies were not UTF-8.
    pub(crate) odd: bool,
    /// `Sec-Fetch-Site`.
    pub(crate) from: String,
    /// `Sec-Purpose`, and `Service-Worker`.
    pub(crate) purpose: String,
    pub(crate) status: u16,
    pub(crate) sets_cookies: bool,
}

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    events: Mutex<Vec<EventKind>>,
}

pub(crate) struct Site {
    port: u16,
    other_port: u16,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(|builder, _| builder).await
    }

    /// With other settings. Their second argument is the origin of the other port.
    pub(crate) async fn with(
        settings: impl FnOnce(SessionsBuilder<String>, &str) -> SessionsBuilder<String>,
    ) -> Self {
        let first = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let second = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let (port, other_port) = (port(&first), port(&second));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let log = Arc::<Log>::default();
        let events = log.clone();
        let builder = Sessions::builder(Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key"))
            .timing(|timing| timing.renew_before(Duration::ZERO))
            // The first request with a new refresh token confirms it.
            .timing(|timing| timing.crash_window(Duration::ZERO))
            .clock(clock.clone())
            .on_event(move |event| events.events.lock().expect("no panic").push(event.kind.clone()));
        let builder = settings(builder, &format!("http://localhost:{other_port}"));
        let builder = crate::device_bound::device_bound(builder);
        let app = app::router(&builder.build().expect("valid settings"));
        let app = app.layer(from_fn_with_state(log.clone(), note));
        let servers = [first, second].map(|listener| {
            let app = app.clone();
            tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") })
        });
        Self { port, other_port, clock, log, servers: servers.into() }
    }

    /// A URL of the site.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// A URL on another origin of the same site, with the same cookies.
    pub(crate) fn other_origin(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.other_port)
    }

    /// A URL on another site.
    pub(crate) fn elsewhere(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Signs in by the form.
    pub(crate) async fn sign_in(&self, browser: &Browser) {
        browser.open(&self.at("/login")).await;
        browser.click("#plain").await;
        browser.until("location.pathname === '/account'").await;
        assert_eq!(self.account(browser).await, "alice fresh");
    }

    /// The heading of the page.
    pub(crate) async fn account(&self, browser: &Browser) -> String {
        browser.run("return document.querySelector('h1').innerText").await.as_str().expect("text").to_owned()
    }

    /// Makes the same host set a cookie, in a response of the other origin. Latin-1 letters are one byte
    /// each.
    pub(crate) async fn plant(&self, browser: &Browser, line: &str) {
        let encoded: String = line.bytes().map(|byte| format!("%{byte:02x}")).collect();
        browser.open(&self.other_origin(&format!("/planting?line={encoded}"))).await;
    }

    /// Expires the access token. The refresh token is then old enough to be rotated.
    pub(crate) fn expire(&self) {
        self.clock.advance(Duration::from_secs(6 * 60));
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.seen.lock().expect("no panic"))
    }

    /// The first request for `line` since the last call, which must arrive.
    pub(crate) async fn arrived(&self, line: &str) -> Seen {
        for _ in 0..200 {
            let found = {
                let mut seen = self.log.seen.lock().expect("no panic");
                let at = seen.iter().position(|seen| seen.line == line);
                at.map(|at| seen.remove(at))
            };
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {line} arrived within 10 s, but {:?}", self.seen());
    }

    fn events(&self, counts: impl Fn(&EventKind) -> bool) -> usize {
        self.log.events.lock().expect("no panic").iter().filter(|kind| counts(kind)).count()
    }

    pub(crate) fn rotations(&self) -> usize {
        self.events(|kind| *kind == EventKind::Renewed(Renewed::Rotated))
    }

    pub(crate) fn renewals(&self) -> usize {
        self.events(|kind| matches!(kind, EventKind::Renewed(_)))
    }

    pub(crate) fn refused_as_cross_site(&self) -> usize {
        self.events(|kind| *kind == EventKind::CrossSiteRefused)
    }

    pub(crate) fn conflicts(&self) -> usize {
        self.events(|kind| *kind == EventKind::ConflictingCookies)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.servers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn note(State(log): State<Arc<Log>>, request: Request, next: Next) -> Response {
    let mut seen = Seen::of(&request);
    let response = next.run(request).await;
    seen.sets_cookies = response.headers().contains_key(header::SET_COOKIE);
    seen.status = response.status().as_u16();
    log.seen.lock().expect("no panic").push(seen);
    response
}

impl Seen {
    fn of(request: &Request) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
            value.unwrap_or_default().into_owned()
        };
        Self {
            line: format!("{} {}", request.method(), request.uri().path()),
            odd: header("cookie").contains('\u{fffd}'),
            cookies: header("cookie").contains("refresh="),
            from: header("sec-fetch-site"),
            purpose: header("sec-purpose") + &header("service-worker"),
            status: 0,
            sets_cookies: false,
        }
    }
}
