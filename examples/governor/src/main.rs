//! How do I limit requests by user, and anonymous ones by address?
//!
//! ```sh
//! cargo run --manifest-path examples/governor/Cargo.toml
//! ```
//!
//! The rate limiter is tower_governor. Put it inside the session layer: then the session is in the request, and
//! its subject is the key. Two users behind one address do not share a quota, and a user with two devices does
//! not get a second one. The layer is optional, so sign-ins and other anonymous requests are limited, too.

use std::{
    error::Error,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::Request,
    routing::{get, post},
};
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::GovernorConfigBuilder,
    key_extractor::{KeyExtractor, PeerIpKeyExtractor},
};
use tower_sliding_sessions::{Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor};

#[cfg(test)]
mod tests;

const TRY: &str = "\
for n in 1 2 3 4 5 6; do curl -s -w ' %{http_code}\\n' 127.0.0.1:3000/; done  # the sixth: 429
sleep 10; curl -s -c jar -d ann 127.0.0.1:3000/login
for n in 1 2 3 4 5 6; do curl -s -w ' %{http_code}\\n' -b jar 127.0.0.1:3000/me; done";

/// The key of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    Subject(String),
    Address(IpAddr),
}

#[derive(Clone)]
struct BySubject;

impl KeyExtractor for BySubject {
    type Key = Client;

    fn extract<T>(&self, request: &Request<T>) -> Result<Client, GovernorError> {
        if let Some(session) = Session::<()>::of(request) {
            return Ok(Client::Subject(session.subject().to_owned()));
        }
        // Behind a reverse proxy this is the proxy's address: use `SmartIpKeyExtractor`, if the proxy sets the header.
        let address = PeerIpKeyExtractor.extract(request)?;
        Ok(Client::Address(match address.to_canonical() {
            // A client has a whole /64.
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        }))
    }
}

async fn login(visitor: Visitor, name: String) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, ()).await?)
}

async fn me(session: Session) -> String {
    session.subject().to_owned()
}

async fn logout(session: Session) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

/// Each client may send `burst` requests at once, and gets one back after each `period`.
fn app(builder: SessionsBuilder, burst: u32, period: Duration) -> Result<Router, Box<dyn Error>> {
    let sessions = builder.build()?;
    let quota = GovernorConfigBuilder::default()
        .key_extractor(BySubject)
        .burst_size(burst)
        .period(period)
        .finish()
        .map(Arc::new)
        .ok_or("a quota of nothing")?;
    let forget = Arc::downgrade(&quota);
    tokio::spawn(async move {
        while let Some(quota) = forget.upgrade() {
            // Forgets clients whose quota is full again.
            quota.limiter().retain_recent();
            drop(quota);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    });
    Ok(Router::new()
        .route("/", get(|| async { "Hello." }))
        .route("/me", get(me)) // without a session: 401
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(GovernorLayer::new(quota)) // inside: it sees the session
        .layer(sessions.layer().optional()) // outside
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?), 5, Duration::from_secs(2))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
