//! A client that keeps its tokens, and the responses it gets.

use axum::body::Body;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::World;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Client {
    pub(crate) fn of(answer: &Answer) -> Self {
        Self { access: answer.text("access_token"), refresh: answer.text("refresh_token") }
    }

    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.access)
    }

    pub(crate) async fn get(&self, world: &World, path: &str) -> Answer {
        world.get(path, &[("authorization", &self.authorization())]).await
    }

    /// Requests new tokens, and keeps none of them.
    pub(crate) async fn exchange(&self, world: &World) -> Answer {
        world.token(&[("grant_type", "refresh_token"), ("refresh_token", &self.refresh)]).await
    }

    /// Requests new tokens, and keeps them by RFC 6749, section 6.
    pub(crate) async fn renew(&mut self, world: &World) -> Answer {
        let answer = self.exchange(world).await;
        if answer.status == 200 {
            self.access = answer.text("access_token");
            if answer.json.get("refresh_token").is_some() {
                self.refresh = answer.text("refresh_token");
            }
        }
        answer
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status: parts.status.as_u16(), headers: parts.headers, json }
    }

    /// A header that occurs at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} occurs twice");
        value
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.json[member].as_str().unwrap_or_else(|| panic!("{member} of {self:?}")).to_owned()
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// Whether it is this error, in the JSON form of every error.
    pub(crate) fn is_error(&self, status: u16, error: &str) -> bool {
        assert_eq!((self.status, self.json["error"].as_str()), (status, Some(error)), "{self:?}");
        assert!(self.json["error_description"].is_string(), "{self:?}");
        self.is_not_stored()
    }

    /// RFC 6749, section 5.1.
    pub(crate) fn is_not_stored(&self) -> bool {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("pragma"), Some("no-cache"), "{self:?}");
        assert!(self.set_cookies().is_empty(), "{self:?}");
        true
    }
}
