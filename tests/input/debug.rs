//! The output of `Debug`: no secret, no token and no session ID.

use std::{fmt::Write as _, sync::Arc};

use axum::http::{HeaderMap, Request, header};
use tower::{Layer as _, ServiceExt as _};
use tower_sliding_sessions::{
    Keyring, ManualClock, MintError, Rejection, RejectionKind, Session, SessionId, Sessions, Timestamp,
    store::{FeedEvent, MemoryStore, Revoke, SessionKey, StoreError, Subject},
};

use crate::{
    forge::part,
    world::{ACCESS, REFRESH, SECRET, World},
};

/// The texts that must not occur in any output.
pub(crate) struct Secrets(Vec<(String, String)>);

impl Secrets {
    pub(crate) fn new(secret: &[u8]) -> Self {
        let mut secrets = Self(Vec::new());
        secrets.add_bytes("the secret", secret);
        secrets
    }

    fn add(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.0.push((what.into(), text.into()));
    }

    /// Bytes in each form in which they could be printed.
    pub(crate) fn add_bytes(&mut self, what: &str, bytes: &[u8]) {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string never fails");
            hex
        });
        let list = format!("{bytes:?}");
        self.add(what, crate::forge::encode(bytes));
        self.add(format!("{what} in hexadecimal"), &hex[..32]);
        self.add(format!("{what} in capital hexadecimal"), hex[..32].to_uppercase());
        self.add(format!("{what} as a list"), list.trim_matches(['[', ']']));
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.add(what, text);
        }
    }

    /// A token, each of its parts, and the ID of its session.
    pub(crate) fn add_token(&mut self, what: &str, token: &str) {
        self.add(what, token);
        for (index, name) in ["header", "payload", "signature"].into_iter().enumerate() {
            let text = token.split('.').nth(index).expect("three parts");
            self.add(format!("{what}'s {name}"), text);
        }
        let claims: serde_json::Value = serde_json::from_slice(&part(token, 1)).expect("claims");
        let sid = claims["sid"].as_str().and_then(SessionId::decode).expect("an id");
        self.add_bytes("a session ID", sid.as_bytes());
    }

    /// The first secret that occurs in `text`.
    fn found_in(&self, text: &str) -> Option<&str> {
        self.0.iter().find(|(_, secret)| text.contains(secret)).map(|(what, _)| what.as_str())
    }

    pub(crate) fn are_not_in(&self, place: &str, text: &str) {
        if let Some(what) = self.found_in(text) {
            panic!("{what} is in {place}:\n{text}");
        }
    }
}

#[tokio::test]
async fn debug_output_holds_no_secret_no_token_and_no_session_id() {
    let world = World::new().await;
    let mut secrets = Secrets::new(SECRET);
    secrets.add_token("the access token", &world.legitimate.access);
    secrets.add_token("the refresh token", &world.legitimate.refresh);
    let cookies = format!("{ACCESS}={}; {REFRESH}={}", world.legitimate.access, world.legitimate.refresh);
    let request = || Request::builder().header(header::COOKIE, &cookies).body(String::new()).expect("one");

    let mut printed = String::new();
    macro_rules! print {
        ($($value:expr),* $(,)?) => {$(
            writeln!(printed, "{0} = {1:?} {1:#?}", stringify!($value), $value).expect("writing to a string never fails");
        )*};
    }
    let ring = Keyring::hs256(SECRET).expect("a valid secret");
    let builder = Sessions::<Vec<u8>>::builder(ring.clone())
        .store(world.store.clone())
        .clock(Arc::new(ManualClock::new(Timestamp::EPOCH)));
    print!(ring, builder, world.sessions, world.sessions.layer(), world.sessions.layer().optional());

    let session = world.sessions.layer().layer(tower::service_fn(async |request: Request<String>| {
        let session = Session::<crate::world::Profile>::of(&request).expect("a session").clone();
        let mut response = axum::http::Response::new(String::new());
        response.extensions_mut().insert(session);
        Ok::<_, std::convert::Infallible>(response)
    }));
    print!(session);
    let future = session.clone().oneshot(request());
    let response = future.await.expect("infallible");
    let session: &Session<crate::world::Profile> =
        response.extensions().get().expect("the session in the response");
    let id = session.id();
    print!(session, id, id.tag(), session.claims(), session.subject());

    let visitor = world.sessions.visitor(&request()).expect("a visitor");
    print!(visitor, world.sessions.list("ann").await);
    let profile = session.claims().clone();
    let signing_in = visitor.sign_in("ann", profile.clone());
    print!(signing_in);
    let set = signing_in.await.expect("signed in");
    print!(set, set.session_id());
    let mut headers = HeaderMap::new();
    set.apply(&mut headers);
    for line in headers.get_all(header::SET_COOKIE) {
        let value = line.to_str().expect("ASCII").split([';', '=']).nth(1).expect("a value");
        secrets.add_token("a new token", value);
    }
    let subject = Subject { realm: "sessions".into(), name: "ann".into() };
    let key = SessionKey { subject, id };
    let snapshot = tower_sliding_sessions::store::SessionStore::get(&world.store, &key).await;
    print!(key, snapshot, Revoke::Session(key.clone()), FeedEvent::Revoked(key.clone()));
    print!(world.store, MemoryStore::new(), world.events.lock().expect("no panic"));

    let huge = crate::world::Profile { name: "x".repeat(4000), ..profile };
    let too_long = visitor.sign_in("ann", huge).await.expect_err("too long");
    print!(
        too_long,
        too_long.to_string(),
        MintError::Signing(Arc::new(std::fmt::Error)),
        Rejection::from(too_long)
    );
    world.store.set_unavailable(true);
    let unavailable = visitor.sign_out().await.expect_err("taken unavailable");
    print!(unavailable, unavailable.to_string(), Rejection::from(unavailable), RejectionKind::MissingLayer);
    print!(StoreError::Full, SessionId::decode("x"), response);
    assert!(printed.len() > 2000 && printed.contains("SessionId(#"), "{printed}");
    secrets.are_not_in("the debug output", &printed);
}

#[test]
fn search_for_secrets_finds_them() {
    let secrets = Secrets::new(SECRET);
    let text = std::str::from_utf8(SECRET).expect("ASCII");
    let hex: String = SECRET.iter().map(|byte| format!("{byte:02X}")).collect();
    for leak in
        [text.to_owned(), format!("{SECRET:?}"), hex.to_lowercase(), hex, crate::forge::encode(SECRET)]
    {
        assert!(secrets.found_in(&format!("this is it: {leak}!")).is_some(), "{leak}");
    }
    assert_eq!(secrets.found_in("nothing"), None);
}
