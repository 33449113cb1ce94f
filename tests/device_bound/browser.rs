//! A browser with a cookie jar and, if it can, a key in its device: it registers, and refreshes before it sends a
//! request.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;
use tower_sliding_sessions::Timestamp;

use super::{
    key::DeviceKey,
    world::{Answer, Instance, World},
};

pub(crate) const ACCESS: &str = "__Host-access";
pub(crate) const REFRESH: &str = "__Host-refresh";

#[derive(Clone, Debug)]
struct Cookie {
    value: String,
    attributes: String,
    expires: Option<Timestamp>,
}

/// A session that the browser has bound to its device.
#[derive(Clone)]
pub(crate) struct BoundSession {
    pub(crate) id: String,
    pub(crate) key: DeviceKey,
    refresh_url: String,
    cookie: String,
    attributes: String,
    excluded: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Browser {
    jar: BTreeMap<String, Cookie>,
    pub(crate) bound: Option<BoundSession>,
    /// Whether it binds sessions to its device.
    pub(crate) has_device: bool,
    keys: u8,
    /// The proofs that it has signed.
    pub(crate) signatures: usize,
}

/// What a refresh came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    Done,
    /// Why the request is sent without a refresh (`Secure-Session-Skipped`).
    Skipped(&'static str),
    /// The session is over for the browser.
    Forgotten,
}

impl Browser {
    /// One that binds sessions.
    pub(crate) fn new() -> Self {
        Self { has_device: true, ..Self::default() }
    }

    /// One without support for device-bound sessions.
    pub(crate) fn without_device() -> Self {
        Self::default()
    }

    pub(crate) async fn signed_in(world: &World) -> Self {
        let mut browser = Self::new();
        let answer = browser.post(world, "/login").await;
        assert!(answer.ok(), "{answer:?}");
        browser
    }

    /// One whose binding is confirmed.
    pub(crate) async fn confirmed(world: &World) -> Self {
        let mut browser = Self::signed_in(world).await;
        world.pass(300);
        assert!(browser.get(world, "/me").await.ok());
        assert_eq!(browser.get(world, "/me").await.header("x-bound"), Some("true"));
        browser
    }

    pub(crate) async fn get(&mut self, world: &World, path: &str) -> Answer {
        self.send(world, &world.one, Method::GET, path, &[]).await
    }

    pub(crate) async fn post(&mut self, world: &World, path: &str) -> Answer {
        self.send(world, &world.one, Method::POST, path, &[]).await
    }

    /// Visits a page.
    pub(crate) async fn visit(&mut self, world: &World, path: &str) -> Answer {
        let headers = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        self.send(world, &world.one, Method::GET, path, &headers).await
    }

    /// Sends a request as browsers do: after a refresh if the bound cookie is missing, and with a registration if the
    /// response offers one.
    pub(crate) async fn send(
        &mut self,
        world: &World,
        instance: &Instance,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let mut headers = headers.to_vec();
        if self.must_refresh(path, world.now())
            && let Refreshed::Skipped(why) = self.refresh(world, instance).await
        {
            headers.push(("secure-session-skipped", why));
        }
        let answer = instance.answer(self.request(method, path, world.now(), &headers)).await;
        self.keep(&answer, world.now());
        if let Some((path, challenge)) = offer_of(&answer).filter(|_| self.has_device) {
            self.register(world, instance, &path, &challenge).await;
        }
        answer
    }

    /// A request with the cookies of the jar.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        now: Timestamp,
        headers: &[(&'static str, &str)],
    ) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "app.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let live = self.jar.iter().filter(|(_, cookie)| cookie.expires.is_none_or(|at| now < at));
        let pairs: Vec<_> = live.map(|(name, cookie)| format!("{name}={}", cookie.value)).collect();
        if !pairs.is_empty() {
            request = request.header("cookie", pairs.join("; "));
        }
        request.body(Body::empty()).expect("a request")
    }

    /// Stores the cookies of a response.
    pub(crate) fn keep(&mut self, answer: &Answer, now: Timestamp) {
        for line in answer.set_cookies() {
            let (pair, attributes) = line.split_once("; ").expect("attributes");
            let (name, value) = pair.split_once('=').expect("a value");
            let age = attributes.split("; ").find_map(|it| it.strip_prefix("Max-Age="));
            let age = age.map(|age| age.parse().expect("seconds"));
            if age == Some(0) {
                self.jar.remove(name);
                continue;
            }
            let without_age: Vec<_> =
                attributes.split("; ").filter(|it| !it.starts_with("Max-Age=")).collect();
            let expires = age.map(|age| now + Duration::from_secs(age));
            let cookie = Cookie { value: value.to_owned(), attributes: without_age.join("; "), expires };
            self.jar.insert(name.to_owned(), cookie);
        }
    }

    /// Whether a request to this path waits for a refresh.
    pub(crate) fn must_refresh(&self, path: &str, now: Timestamp) -> bool {
        let Some(bound) = &self.bound else { return false };
        let has_cookie = self.jar.get(&bound.cookie).is_some_and(|cookie| {
            cookie.attributes == bound.attributes && cookie.expires.is_none_or(|at| now < at)
        });
        !has_cookie && !bound.excluded.iter().any(|excluded| path.starts_with(&**excluded))
    }

    /// Refreshes the bound session.
    pub(crate) async fn refresh(&mut self, world: &World, instance: &Instance) -> Refreshed {
        let bound = self.bound.clone().expect("a bound session");
        let mut proof = None;
        for _ in 0..3 {
            let mut headers = vec![("sec-secure-session-id", bound.id.as_str())];
            headers.extend(proof.as_deref().map(|proof| ("secure-session-response", proof)));
            let request = self.request(Method::POST, &bound.refresh_url, world.now(), &headers);
            let answer = instance.answer(request).await;
            match answer.status.as_u16() {
                200 if answer.json()["continue"] == Value::Bool(false) => break,
                200 => {
                    self.keep(&answer, world.now());
                    return Refreshed::Done;
                }
                403 => {
                    let challenge = answer.header("secure-session-challenge").expect("a challenge");
                    let (challenge, id) = challenge.split_once(";id=").expect("an id");
                    assert_eq!(id.trim_matches('"'), bound.id);
                    proof = Some(bound.key.prove(challenge.trim_matches('"')));
                    self.signatures += 1;
                }
                500..600 => return Refreshed::Skipped("server_error"),
                _ => break,
            }
        }
        self.bound = None;
        Refreshed::Forgotten
    }

    /// Makes a key, and registers it.
    pub(crate) async fn register(&mut self, world: &World, instance: &Instance, path: &str, challenge: &str) {
        let (key, request) = self.registration(world, path, challenge);
        let answer = instance.answer(request).await;
        self.accept(world, key, &answer);
    }

    /// Makes a key, and the request that registers it.
    pub(crate) fn registration(
        &mut self,
        world: &World,
        path: &str,
        challenge: &str,
    ) -> (DeviceKey, Request<Body>) {
        self.keys += 1;
        self.signatures += 1;
        let key = DeviceKey::new(self.keys);
        let proof = key.register(challenge);
        let headers = [("secure-session-response", proof.as_str())];
        (key, self.request(Method::POST, path, world.now(), &headers))
    }

    /// Takes the answer to a registration.
    pub(crate) fn accept(&mut self, world: &World, key: DeviceKey, answer: &Answer) {
        if !answer.ok() {
            return;
        }
        self.keep(answer, world.now());
        let json = answer.json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let rules = json["scope"]["scope_specification"].as_array().expect("a list");
        assert_eq!(json["scope"]["include_site"], false);
        let credential = &json["credentials"][0];
        assert_eq!(credential["type"], "cookie");
        self.bound = Some(BoundSession {
            id: text(&json["session_identifier"]),
            key,
            refresh_url: text(&json["refresh_url"]),
            cookie: text(&credential["name"]),
            attributes: text(&credential["attributes"]),
            excluded: rules.iter().map(|rule| text(&rule["path"])).collect(),
        });
    }

    pub(crate) fn value(&self, name: &str, now: Timestamp) -> Option<&str> {
        let cookie = self.jar.get(name).filter(|cookie| cookie.expires.is_none_or(|at| now < at));
        cookie.map(|cookie| &*cookie.value)
    }

    /// Sets a cookie that ends with the browser.
    pub(crate) fn plant(&mut self, name: &str, value: &str) {
        let cookie = self.jar.get_mut(name).expect("a cookie");
        (cookie.value, cookie.expires) = (value.to_owned(), None);
    }

    /// The cookies, for a client that has no key.
    pub(crate) fn copied_jar(&self) -> Self {
        Self { jar: self.jar.clone(), ..Self::default() }
    }
}

/// The path and the challenge of a registration that a response offers.
pub(crate) fn offer_of(answer: &Answer) -> Option<(String, String)> {
    let offer = answer.header("secure-session-registration")?;
    let value = |name: &str| {
        let (_, rest) = offer.split_once(&format!(";{name}=\"")).expect("a parameter");
        rest.split('"').next().expect("an end").to_owned()
    };
    assert!(offer.starts_with("(ES256 RS256);"), "{offer}");
    Some((value("path"), value("challenge")))
}
