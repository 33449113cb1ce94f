//! The parameters of a request, read as strictly as RFC 6749 requires.

use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderValue, header};

use super::error::Refused;

/// The longest body that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// The maximum number of parameters. This is far more than any grant has.
const MOST: usize = 64;

/// The parameters of a request. Each name occurs at most once, and no value is empty.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Refused> {
        if !is_form(headers) {
            return Err(Refused::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        let body = to_bytes(body, LONGEST).await;
        Self::parse(&body.map_err(|_| Refused::invalid_request("the body is too long, or was cut off"))?)
    }

    fn parse(body: &[u8]) -> Result<Self, Refused> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            // RFC 6749, appendix B: all text is UTF-8. The parser has replaced invalid bytes with this character.
            if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(Refused::invalid_request("the body is not UTF-8"));
            }
            // Section 3.2: "Request and response parameters MUST NOT be included more than once."
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(Refused::invalid_request("a parameter comes twice"));
            }
            if parameters.len() == MOST {
                return Err(Refused::invalid_request("there are too many parameters"));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        // "Parameters sent without a value MUST be treated as if they were omitted".
        parameters.retain(|(_, value)| !value.is_empty());
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn require(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or(Refused::invalid_request("a parameter is missing"))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    let (Some(first), None) = (types.next(), types.next()) else { return false };
    let essence = first.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}
