//! A cookie for scripts, with data that the application chooses. This crate never reads it.

use std::{fmt, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{CookieLine, Engine};
use crate::{
    claims::Claims,
    cookie::LONGEST_VALUE,
    event::{EventKind, caught},
    store::SessionRecord,
    time::Timestamp,
    token::MintError,
};

type MakeJson<C> = dyn Fn(&C) -> Result<String, serde_json::Error> + Send + Sync;

/// The application's function that makes the JSON of the cookie.
pub(crate) struct ReadableCookie<C>(Arc<MakeJson<C>>);

impl<C> ReadableCookie<C> {
    pub(crate) fn new<T: Serialize>(show: impl Fn(&C) -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |claims| serde_json::to_string(&show(claims))))
    }
}

impl<C: Claims> Engine<C> {
    /// Checks that the readable cookie for these claims is not too large.
    pub(super) fn check_readable_fits(&self, claims: &C) -> Result<(), MintError> {
        let (Some(ReadableCookie(make_json)), Some(name)) =
            (&self.config.readable_cookie, &self.config.cookies.readable)
        else {
            return Ok(());
        };
        let text = percent_encoded(&self.json_of(make_json, claims)?);
        self.config
            .cookies
            .set(name, &text, None)
            .map(drop)
            .ok_or(MintError::TooLong { length: text.len(), limit: LONGEST_VALUE })
    }

    /// The readable cookie, if there is one. It is set together with the access cookie.
    pub(super) fn readable_line(
        &self,
        claims: &C,
        record: &SessionRecord,
        now: Timestamp,
    ) -> Result<Option<CookieLine>, MintError> {
        let (Some(ReadableCookie(make_json)), Some(name)) =
            (&self.config.readable_cookie, &self.config.cookies.readable)
        else {
            return Ok(None);
        };
        self.set_cookie(name.clone(), &percent_encoded(&self.json_of(make_json, claims)?), record, now)
            .map(Some)
    }

    fn json_of(&self, make_json: &Arc<MakeJson<C>>, claims: &C) -> Result<String, MintError> {
        let json = caught(|| make_json(claims)).map_err(|panic| {
            self.config.events.failed(EventKind::HookPanicked { hook: "readable_cookie" }, &panic);
            MintError::Readable(Arc::new(panic))
        })?;
        json.map_err(|error| MintError::Readable(Arc::new(error)))
    }
}

/// What JavaScript's `encodeURIComponent` encodes. `decodeURIComponent` reverses it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

impl<C> fmt::Debug for ReadableCookie<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadableCookie")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_as_browsers_decode_it() {
        assert_eq!(percent_encoded(r#"{"a":"é; b"}"#), "%7B%22a%22%3A%22%C3%A9%3B%20b%22%7D");
        assert_eq!(percent_encoded("aZ0-_.!~*'()"), "aZ0-_.!~*'()");
    }
}
