//! What the tokens in cookies say, read without their key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use tower_sliding_sessions::{CookieJar, RunId, SessionId};

use crate::history::Token;

#[derive(Deserialize)]
struct Claims {
    sid: SessionId,
    r#gen: u64,
    run: RunId,
}

/// The cookies of a jar.
pub(crate) struct Cookies {
    pub(crate) access: Option<Token>,
    pub(crate) refresh: Option<Token>,
}

impl Cookies {
    pub(crate) fn of(jar: &CookieJar) -> Self {
        Self { access: read(jar, "__Host-access"), refresh: read(jar, "__Host-refresh") }
    }

    /// The refresh token, or else the access token.
    pub(crate) fn token(&self) -> Option<Token> {
        self.refresh.or(self.access)
    }
}

fn read(jar: &CookieJar, name: &str) -> Option<Token> {
    let header = jar.header()?;
    let pairs = header.to_str().ok()?.split("; ").filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(found, _)| *found == name)?;
    let payload = URL_SAFE_NO_PAD.decode(value.split('.').nth(1)?).ok()?;
    let Claims { sid, r#gen, run } = serde_json::from_slice(&payload).ok()?;
    Some(Token { session: sid, generation: r#gen, run })
}

/// A jar with only one of the cookies.
pub(crate) fn only(jar: &CookieJar, name: &str) -> CookieJar {
    let header = jar.header();
    let line = header.as_ref().and_then(|header| header.to_str().ok()).unwrap_or_default();
    let kept = line.split("; ").find(|pair| pair.starts_with(name)).unwrap_or_default();
    axum::http::HeaderValue::try_from(kept).map(CookieJar::from).unwrap_or_default()
}
