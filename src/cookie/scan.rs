//! Finds the access cookie and the refresh cookie in a request. Names are compared byte for byte.
//!
//! This module uses no cookie library, for these reasons:
//!
//! - `cookie::Cookie::parse` trims all Unicode white space from a name, so it takes `\u{a0}__Host-access` for
//!   `__Host-access`. A script or a sibling domain can set such a cookie, so the prefix would protect nothing.
//! - `Cookie::parse_encoded`, which cookie jars for axum call, also decodes percent signs in names (`__%48ost-access`).
//! - Cookie jars keep the last of two values. They drop the whole header if any cookie has a byte outside of visible
//!   ASCII.

use http::{HeaderMap, HeaderValue, header};
use memchr::{memchr, memchr_iter};

use super::config::Cookies;

/// The maximum number of bytes of all cookies. A request with more bytes is not served with a session.
const LONGEST: usize = 64 * 1024;

/// The maximum number of different values of one name whose signatures are checked.
const MOST_VALUES: usize = 8;

/// The value of one cookie in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieValue<'a> {
    /// The request has no such cookie.
    Absent,
    /// One value, once or repeated.
    Value(&'a [u8]),
    /// There are two different values, or too many cookies to search all of them. [`values`] then finds all values. The
    /// order of the values decides nothing (RFC 6265bis, section 4.2.2: servers should not rely on it).
    Conflict,
}

impl<'a> CookieValue<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match *self {
            Self::Absent => Self::Value(value),
            Self::Value(other) if other == value => Self::Value(value),
            Self::Value(_) | Self::Conflict => Self::Conflict,
        };
    }
}

/// Reads the access cookie and the refresh cookie of a request, in one pass. `lines` are all `Cookie` headers of the
/// request: HTTP/2 may split the header into several headers (RFC 9113, section 8.2.3).
pub(crate) fn scan<'a>(
    lines: impl Iterator<Item = &'a HeaderValue>,
    cookies: &Cookies,
) -> (CookieValue<'a>, CookieValue<'a>) {
    let (mut access, mut refresh) = (CookieValue::Absent, CookieValue::Absent);
    let mut budget = LONGEST;
    for line in lines {
        let Some(rest) = budget.checked_sub(line.len()) else {
            return (CookieValue::Conflict, CookieValue::Conflict);
        };
        budget = rest;
        each_value(line.as_bytes(), cookies, |name, value| match name {
            Name::Access => access.add(value),
            Name::Refresh => refresh.add(value),
        });
    }
    (access, refresh)
}

/// The values of the access cookie and of the refresh cookie that can be tokens.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    pub(crate) access: Vec<&'a [u8]>,
    pub(crate) refresh: Vec<&'a [u8]>,
    /// Whether the request has more values than are kept here.
    pub(crate) too_many: bool,
}

/// Finds the values of the access cookie and of the refresh cookie that can be tokens, each value once, in one pass.
/// Searches all cookies, because a sign-out must not miss a session. Keeps at most [`MOST_VALUES`] values for each
/// name. Ignores values of more than `longest` bytes.
pub(crate) fn values<'a>(headers: &'a HeaderMap, cookies: &Cookies, longest: usize) -> Values<'a> {
    let Values { mut access, mut refresh, mut too_many } = Values::default();
    for line in headers.get_all(header::COOKIE) {
        each_value(line.as_bytes(), cookies, |name, value| {
            let found = match name {
                Name::Access => &mut access,
                Name::Refresh => &mut refresh,
            };
            if value.len() > longest || !can_be_token(value) || found.contains(&value) {
                return;
            }
            if found.len() < MOST_VALUES {
                found.push(value);
            } else {
                too_many = true;
            }
        });
    }
    Values { access, refresh, too_many }
}

/// Whether the cookies have more bytes than [`scan`] searches.
pub(crate) fn are_too_long(headers: &HeaderMap) -> bool {
    headers.get_all(header::COOKIE).iter().map(HeaderValue::len).sum::<usize>() > LONGEST
}

/// Whether `value` has the three parts of a signed token, or the five parts of an encrypted token. The signatures of
/// other values are not checked.
fn can_be_token(value: &[u8]) -> bool {
    matches!(memchr_iter(b'.', value).count(), 2 | 4)
}

enum Name {
    Access,
    Refresh,
}

fn each_value<'a>(line: &'a [u8], cookies: &Cookies, mut found: impl FnMut(Name, &'a [u8])) {
    let mut rest = line;
    while !rest.is_empty() {
        let end = memchr(b';', rest).unwrap_or(rest.len());
        let (pair, others) = rest.split_at_checked(end).unwrap_or_default();
        rest = others.get(1..).unwrap_or_default();
        let pair = trim_start(pair);
        if let Some(value) = value_of(pair, &cookies.access) {
            found(Name::Access, value);
        } else if let Some(value) = value_of(pair, &cookies.refresh) {
            found(Name::Refresh, value);
        }
    }
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // Most cookies belong to other software. A look at one byte excludes most of them.
    if !matches!(pair.get(name.len()), Some(b'=' | b' ' | b'\t')) {
        return None;
    }
    trim(pair.strip_prefix(name.as_bytes())?).strip_prefix(b"=").map(trim)
}

/// Trims spaces and tabs, and no other characters, as RFC 6265bis does.
fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(lines: &[&[u8]]) -> (String, String) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_bytes(line).expect("a header value"));
        }
        let show = |found| match found {
            CookieValue::Absent => "absent".to_owned(),
            CookieValue::Value(value) => String::from_utf8_lossy(value).into_owned(),
            CookieValue::Conflict => "conflict".to_owned(),
        };
        let (access, refresh) = scan(headers.get_all(header::COOKIE).iter(), &Cookies::default());
        (show(access), show(refresh))
    }

    fn access(line: &[u8]) -> String {
        scanned(&[line]).0
    }

    #[test]
    fn both_cookies_are_found_among_others_and_across_lines() {
        let lines: [&[u8]; 3] =
            [b"a=b; __Host-access=x.y.z", b"theme=\xff\xfe; q=\"1;2\"", b"__Host-refresh=r"];
        assert_eq!(scanned(&lines), ("x.y.z".into(), "r".into()));
        assert_eq!(scanned(&[]), ("absent".into(), "absent".into()));
    }

    #[test]
    fn names_are_compared_byte_for_byte() {
        for line in [
            "\u{a0}__Host-access=evil".as_bytes(),
            "\u{2003}__Host-access\u{2003}=evil".as_bytes(),
            &b"__%48ost-access=evil"[..],
            b"__host-access=evil",
            b"__Host-accessx=evil",
            b"x__Host-access=evil",
            b"\xa0__Host-access=evil",
            b"__Host-access",
            b"=__Host-access=evil",
        ] {
            assert_eq!(access(line), "absent", "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(access(b"\t __Host-access \t= v \t"), "v");
        assert_eq!(access(b"__Host-access=\tv"), "v");
        assert_eq!(access(b"__Host-access=a=b%41"), "a=b%41");
        assert_eq!(access(b"__Host-access="), "");
    }

    #[test]
    fn two_different_values_under_one_name_are_a_conflict() {
        assert_eq!(access(b"__Host-access=a; __Host-access=a"), "a");
        assert_eq!(access(b"__Host-access=a; __Host-access=b; __Host-access=a"), "conflict");
        assert_eq!(access(b"__Host-access=; __Host-access=b"), "conflict");
    }

    #[test]
    fn all_values_that_can_be_tokens_are_found_once_each_and_bounded_in_number() {
        let found = |cookie: &str| {
            let mut headers = HeaderMap::new();
            let filler = format!("a={}", "x".repeat(70_000));
            for line in [filler.as_str(), cookie] {
                headers.append(header::COOKIE, HeaderValue::from_str(line).expect("a header value"));
            }
            assert!(are_too_long(&headers));
            let Values { access, refresh, too_many } = values(&headers, &Cookies::default(), 4096);
            (access.len(), refresh.len(), too_many)
        };
        assert_eq!(found("__Host-access=a.b.c; __Host-access=a.b.c; __Host-refresh=d.e.f"), (1, 1, false));
        assert_eq!(found("__Host-access=x; __Host-access=a.b; __Host-access=a.b.c.d"), (0, 0, false));
        assert_eq!(found(&format!("__Host-access=a.{}.c", "x".repeat(4096))), (0, 0, false));
        let many =
            |count: usize| (0..count).map(|nth| format!("__Host-refresh={nth}.b.c; ")).collect::<String>();
        assert_eq!(found(&many(MOST_VALUES)), (0, MOST_VALUES, false));
        assert_eq!(found(&many(10_000)), (0, MOST_VALUES, true));
    }

    #[test]
    fn too_many_cookies_are_not_searched() {
        let long = [b"a=".to_vec(), vec![b'x'; 40_000]].concat();
        let ours = &b"__Host-access=x"[..];
        assert_eq!(scanned(&[&long, ours]).0, "x");
        assert_eq!(scanned(&[&long, &long, ours]).0, "conflict");
    }
}
