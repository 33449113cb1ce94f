//! With a software authenticator in place of the browser's.

#[path = "../../../tests/support/browser.rs"]
mod browser;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header::SET_COOKIE},
};
use serde::{Serialize, de::DeserializeOwned};
use tower_sliding_sessions::{Keyring, ManualClock, Sessions, Timestamp};
use webauthn_authenticator_rs::{WebauthnAuthenticator as _, softpasskey::SoftPasskey};
use webauthn_rs::prelude::Url;

use self::browser::{Browser, text};

const JSON: &str = "application/json";
const ORIGIN: &str = "http://localhost:3000";

fn app() -> (Router, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let builder = Sessions::builder(Keyring::random().expect("a key")).clock(clock.clone());
    (super::app(builder, ORIGIN).expect("an application"), clock)
}

struct Person {
    browser: Browser,
    passkey: SoftPasskey,
}

impl Person {
    async fn registered(app: &Router, name: &str) -> Self {
        // It says that it has verified the user.
        let mut person = Self { browser: Browser::new(app), passkey: SoftPasskey::new(true) };
        let challenge = person.start("/register/start", &format!("{{\"name\":{name:?}}}")).await;
        let origin = Url::parse(ORIGIN).expect("a URL");
        let created = person.passkey.do_registration(origin, challenge).expect("a passkey");
        assert_eq!(person.finish("/register/finish", &created).await, StatusCode::OK);
        person
    }

    async fn start<T: DeserializeOwned>(&mut self, path: &str, body: &str) -> T {
        let answer = self.browser.post(path, JSON, body).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        serde_json::from_str(&text(answer).await).expect("a challenge")
    }

    async fn finish(&mut self, path: &str, signed: &impl Serialize) -> StatusCode {
        self.browser.post(path, JSON, &serde_json::to_string(signed).expect("JSON")).await.status()
    }

    async fn sign(&mut self, path: &str, body: &str, origin: &str) -> StatusCode {
        let challenge = self.start(&format!("{path}/start"), body).await;
        let origin = Url::parse(origin).expect("a URL");
        let signed = self.passkey.do_authentication(origin, challenge).expect("a signature");
        self.finish(&format!("{path}/finish"), &signed).await
    }

    async fn me(&mut self) -> (StatusCode, String) {
        let answer = self.browser.get("/me").await;
        (answer.status(), text(answer).await)
    }

    async fn transfer(&mut self) -> StatusCode {
        self.browser.post("/transfer", JSON, "").await.status()
    }
}

#[tokio::test]
async fn a_passkey_registers_signs_out_and_signs_in_again() {
    let (app, clock) = app();
    let mut ann = Person::registered(&app, "ann").await;
    assert!(ann.me().await.1.starts_with("ann ("));
    let mut copied = ann.browser.clone();
    assert_eq!(ann.browser.post("/logout", JSON, "").await.status(), StatusCode::OK);
    assert_eq!(copied.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ann.me().await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ann.sign("/login", "{\"name\":\"ann\"}", ORIGIN).await, StatusCode::OK);
    assert!(ann.me().await.1.ends_with("by [\"hwk\", \"user\"]"));
    clock.advance(Duration::from_secs(20 * 60));
    let renewed = ann.browser.get("/me").await;
    assert_eq!(renewed.headers().get_all(SET_COOKIE).iter().count(), 2);
    assert_eq!(renewed.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_passkey_older_than_a_minute_is_asked_for_again() {
    let (app, clock) = app();
    let mut ann = Person::registered(&app, "ann").await;
    assert_eq!(ann.transfer().await, StatusCode::OK);
    clock.advance(Duration::from_secs(2 * 60));
    assert_eq!(ann.transfer().await, StatusCode::FORBIDDEN);
    assert_eq!(ann.sign("/step-up", "", ORIGIN).await, StatusCode::OK);
    assert_eq!(ann.transfer().await, StatusCode::OK);
}

#[tokio::test]
async fn wrong_origins_other_challenges_and_repetitions_are_refused() {
    let (app, clock) = app();
    let mut ann = Person::registered(&app, "ann").await;
    let mut bob = Person::registered(&app, "bob").await;
    let name = "{\"name\":\"ann\"}";
    // The page of another site, which a browser would not let get this far.
    assert_eq!(ann.sign("/login", name, "https://sub.localhost").await, StatusCode::FORBIDDEN);
    // A response to an older challenge, and one that was used.
    let challenge = ann.start("/login/start", name).await;
    let origin = || Url::parse(ORIGIN).expect("a URL");
    let signed = ann.passkey.do_authentication(origin(), challenge).expect("a signature");
    let _: serde_json::Value = ann.start("/login/start", name).await;
    assert_eq!(ann.finish("/login/finish", &signed).await, StatusCode::FORBIDDEN);
    assert_eq!(ann.sign("/login", name, ORIGIN).await, StatusCode::OK);
    assert_eq!(ann.finish("/login/finish", &signed).await, StatusCode::FORBIDDEN);
    // A challenge that expired.
    let challenge = ann.start("/login/start", name).await;
    let signed = ann.passkey.do_authentication(origin(), challenge).expect("a signature");
    clock.advance(Duration::from_secs(6 * 60));
    assert_eq!(ann.finish("/login/finish", &signed).await, StatusCode::FORBIDDEN);
    // A ceremony of another kind, and of another session.
    let challenge = ann.start("/step-up/start", "").await;
    let signed = ann.passkey.do_authentication(origin(), challenge).expect("a signature");
    assert_eq!(ann.finish("/login/finish", &signed).await, StatusCode::FORBIDDEN);
    let challenge = ann.start("/step-up/start", "").await;
    let signed = ann.passkey.do_authentication(origin(), challenge).expect("a signature");
    let names = |browser: &Browser| browser.jar.header().expect("cookies").to_str().expect("text").to_owned();
    let ceremony = names(&ann.browser);
    let ceremony =
        ceremony.split("; ").find(|pair| pair.starts_with("__Host-ceremony=")).expect("a ceremony");
    let mut cookies: Vec<_> = names(&bob.browser).split("; ").map(str::to_owned).collect();
    cookies.retain(|pair| !pair.starts_with("__Host-ceremony="));
    cookies.push(ceremony.to_owned());
    bob.browser.jar = axum::http::HeaderValue::from_str(&cookies.join("; ")).expect("a header").into();
    assert_eq!(bob.finish("/step-up/finish", &signed).await, StatusCode::FORBIDDEN);
    // A name that is taken, and one that is unknown.
    assert_eq!(bob.browser.post("/register/start", JSON, name).await.status(), StatusCode::CONFLICT);
    let unknown = "{\"name\":\"eve\"}";
    assert_eq!(bob.browser.post("/login/start", JSON, unknown).await.status(), StatusCode::FORBIDDEN);
}
