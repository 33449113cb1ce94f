//! Sign-ins and sign-outs in progress. Each attempt is in one sealed cookie of the browser.
//!
//! The provider sends the browser back with a `state`. The `state` must be the `state` of a cookie, so an attacker
//! cannot make a browser finish a sign-in that the attacker began. The name of a cookie contains the first characters
//! of its `state`, so attempts in several tabs do not overwrite each other.

use std::{io, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    id,
    protocol::LEEWAY,
    time::Timestamp,
    token::{Keyring, open, seal},
};

/// The lifetime of an attempt: how long the user may take at the provider.
pub(super) const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The maximum number of attempts in a browser. A new attempt removes the oldest attempt.
const MOST: usize = 5;
/// The maximum number of attempt cookies that a new attempt reads. The headers that remove cookies must fit into a
/// response.
const MOST_READ: usize = 12;
/// The maximum length of an attempt's cookie, with its name, in bytes. A request has up to five of these cookies and
/// all other cookies, and servers accept 8 KB of headers.
const LONGEST: usize = 900;
/// The number of characters of `state` in a cookie's name.
const IN_NAME: usize = 8;
const PURPOSE: &str = "oidc attempt";

/// The kind of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    SignIn,
    SignOut,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Attempt {
    kind: Kind,
    /// `state`: 192 random bits.
    pub(super) state: String,
    pub(super) nonce: String,
    /// The PKCE code verifier.
    pub(super) verifier: String,
    /// The path to which the user goes afterwards. The path was checked.
    pub(super) next: String,
    /// Whether the user must authenticate again.
    #[serde(default)]
    pub(super) reauthenticates: bool,
    pub(super) began: Timestamp,
}

/// Names and seals the cookies of one provider's attempts.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    prefix: String,
    attributes: &'static str,
    /// Binds the cookies to the realm, the provider, the client and the address of the routes.
    context: Vec<u8>,
}

impl Attempts {
    pub(super) fn new(secure: bool, context: &[&str]) -> Self {
        let (prefix, attributes) = match secure {
            true => ("__Host-oidc", "; HttpOnly; SameSite=Lax; Secure; Path=/"),
            false => ("oidc", "; HttpOnly; SameSite=Lax; Path=/"),
        };
        // No part contains a line break.
        let context = context.join("\n").into_bytes();
        // Applications on one host, and several providers of one application, must not remove each other's cookies.
        let [a, b, c, ..] = <[u8; 32]>::from(Sha256::digest(&context));
        let prefix = format!("{prefix}-{}-", URL_SAFE_NO_PAD.encode([a, b, c]));
        Self { prefix, attributes, context }
    }

    /// Begins an attempt.
    pub(super) fn begin(
        kind: Kind,
        next: &str,
        reauthenticates: bool,
        now: Timestamp,
    ) -> io::Result<Attempt> {
        let random = || -> io::Result<_> { Ok(URL_SAFE_NO_PAD.encode(id::random::<24>()?)) };
        // 43 characters, as RFC 7636 asks for.
        let verifier = URL_SAFE_NO_PAD.encode(id::random::<32>()?);
        let (state, nonce, next) = (random()?, random()?, next.to_owned());
        Ok(Attempt { kind, state, nonce, verifier, next, reauthenticates, began: now })
    }

    /// The `Set-Cookie` headers of a new attempt: one sets its cookie, and the others remove the cookies that it
    /// replaces. If the path makes the cookie too long, the path is replaced by `/`.
    pub(super) fn cookies(
        &self,
        ring: &Keyring,
        attempt: &Attempt,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Option<Vec<HeaderValue>> {
        let name = self.name(&attempt.state)?;
        let sealed = |attempt: &Attempt| {
            let text = serde_json::to_vec(attempt).ok()?;
            let sealed = seal(ring, PURPOSE, &self.associated(&name), &text).ok()?;
            Some(URL_SAFE_NO_PAD.encode(sealed))
        };
        let mut value = sealed(attempt)?;
        if name.len() + 1 + value.len() > LONGEST {
            value = sealed(&Attempt { next: "/".to_owned(), ..attempt.clone() })?;
        }
        let line = format!("{name}={value}{}; Max-Age={}", self.attributes, LIFETIME.as_secs());
        let mut lines = vec![HeaderValue::try_from(line).ok()?];
        let mut others: Vec<_> = self
            .all(request)
            .take(MOST_READ)
            .map(|(name, value)| (self.read(ring, name, value, now).map(|other| other.began), name))
            .collect();
        // Sort the newest first. Cookies that cannot be read come last, as the oldest.
        others.sort_by(|one, other| other.cmp(one));
        let is_kept = |index: usize, began: Option<Timestamp>| index < MOST - 1 && began.is_some();
        let removed = others.iter().enumerate().filter(|(index, (began, _))| !is_kept(*index, *began));
        lines.extend(removed.filter_map(|(_, (_, name))| self.removal(name)));
        Some(lines)
    }

    /// The attempt of this browser with this kind and `state`, and the header that removes its cookie.
    pub(super) fn take(
        &self,
        ring: &Keyring,
        kind: Kind,
        state: &str,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Option<(Attempt, HeaderValue)> {
        let name = self.name(state)?;
        let (_, value) = self.all(request).find(|(other, _)| *other == name)?;
        let attempt = self.read(ring, &name, value, now)?;
        (attempt.state == state && attempt.kind == kind).then_some((attempt, self.removal(&name)?))
    }

    fn name(&self, state: &str) -> Option<String> {
        let start = state.get(..IN_NAME)?;
        let is_name = start.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        is_name.then(|| format!("{}{start}", self.prefix))
    }

    fn associated(&self, name: &str) -> Vec<u8> {
        [name.as_bytes(), b"\n", &self.context].concat()
    }

    fn removal(&self, name: &str) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{name}={}; Max-Age=0", self.attributes)).ok()
    }

    /// The cookies of attempts in a request. They are still sealed.
    fn all<'h>(&'h self, request: &'h HeaderMap) -> impl Iterator<Item = (&'h str, &'h str)> {
        let (prefix, length) = (&*self.prefix, self.prefix.len() + IN_NAME);
        let lines = request.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim_matches(' ').split_once('='))
            .filter(move |(name, _)| name.starts_with(prefix) && name.len() == length)
    }

    fn read(&self, ring: &Keyring, name: &str, value: &str, now: Timestamp) -> Option<Attempt> {
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let opened = open(ring, PURPOSE, &self.associated(name), &sealed)?;
        let attempt: Attempt = serde_json::from_slice(&opened.plaintext).ok()?;
        let is_current = attempt.began <= now + LEEWAY && now.since(attempt.began) <= LIFETIME;
        is_current.then_some(attempt)
    }
}
