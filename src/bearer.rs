//! The `Authorization` header with a bearer token (RFC 6750).

use http::{HeaderMap, HeaderValue, header};

/// The bearer token of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer<'h> {
    /// The request has no bearer token. Other schemes are ignored.
    Absent,
    Token(&'h [u8]),
    /// The header has the scheme `Bearer` without a valid token. Or the request has several `Authorization` headers,
    /// and one of them has this scheme.
    Malformed,
}

impl<'h> Bearer<'h> {
    /// Reads the `Authorization` header (RFC 6750, section 2.1).
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        match (lines.next(), lines.next()) {
            (None, _) => Self::Absent,
            (Some(line), None) => Self::of_line(line),
            // If all headers have other schemes, ignore them.
            (Some(first), Some(second)) => {
                let others = [first, second].into_iter().chain(lines);
                match others.map(Self::of_line).all(|one| one == Self::Absent) {
                    true => Self::Absent,
                    false => Self::Malformed,
                }
            }
        }
    }

    fn of_line(line: &'h [u8]) -> Self {
        let end = line.iter().position(|b| !is_of_scheme(*b)).unwrap_or(line.len());
        let (scheme, rest) = line.split_at(end);
        // Schemes are case-insensitive (RFC 9110, section 11.1).
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Self::Absent;
        }
        let token = rest.iter().position(|b| *b != b' ').and_then(|start| rest.split_at_checked(start));
        match token {
            Some((b" ", token) | ([b' ', .., b' '], token)) if is_token68(token) => Self::Token(token),
            _ => Self::Malformed,
        }
    }
}

/// Whether a byte may be part of a scheme's name (RFC 9110, section 5.6.2).
fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `token` has the form `token68` (RFC 9110, section 11.2).
fn is_token68(token: &[u8]) -> bool {
    let unpadded = token.iter().rposition(|b| *b != b'=').and_then(|last| token.get(..=last));
    unpadded.is_some_and(|token| token.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(line));
        }
        match Bearer::of(&headers) {
            Bearer::Absent => "absent".to_owned(),
            Bearer::Token(token) => String::from_utf8_lossy(token).into_owned(),
            Bearer::Malformed => "malformed".to_owned(),
        }
    }

    #[test]
    fn a_bearer_token_is_found_with_any_case_of_its_scheme() {
        for line in ["Bearer a.b-c_d~+/==", "bearer a.b-c_d~+/==", "BEARER   a.b-c_d~+/=="] {
            assert_eq!(read(&[line]), "a.b-c_d~+/==");
        }
    }

    #[test]
    fn other_schemes_are_ignored() {
        for lines in [&[][..], &["Basic YTpi"], &["Bearers a"], &["Bearer-x a"], &["Basic a", "Digest b"]] {
            assert_eq!(read(lines), "absent", "{lines:?}");
        }
    }

    #[test]
    fn an_invalid_bearer_token_is_malformed() {
        for line in [
            "Bearer",
            "Bearer ",
            "Bearer\ta",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer,a",
        ] {
            assert_eq!(read(&[line]), "malformed", "{line:?}");
        }
        assert_eq!(read(&["Bearer a", "Bearer a"]), "malformed");
        assert_eq!(read(&["Basic a", "Bearer a"]), "malformed");
    }
}
