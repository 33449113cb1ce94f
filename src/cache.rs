//! Cache headers: a shared cache must not give one user's session, or page, to another.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

/// For a response that sets session cookies: it must not be stored, even if the handler says otherwise (OWASP Session
/// Management; CVE-2023-30861).
pub(crate) fn forbid(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    let others: Vec<_> = headers.keys().filter(|name| outranks_cache_control(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
    vary_by_cookie(headers);
}

/// Whether some shared cache obeys this header before `Cache-Control`: the targeted fields of RFC 9213
/// (`CDN-Cache-Control`, `Cloudflare-CDN-Cache-Control` and so on) and of LiteSpeed, those of the Edge Architecture
/// Specification (Fastly, Varnish), Akamai's, and nginx's.
fn outranks_cache_control(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "x-accel-expires" | "expires" | "edge-control")
        || ["-cache-control", "surrogate-control", "-edge-control"].iter().any(|end| name.ends_with(end))
}

/// For any other response to a session: private, unless the handler sets `Cache-Control`.
pub(crate) fn keep_private(headers: &mut HeaderMap, no_store: bool) {
    // Most responses have few headers. One pass over them is faster than two look-ups.
    let (mut has_rule, mut has_vary) = (false, false);
    for name in headers.keys() {
        has_rule |= name == header::CACHE_CONTROL;
        has_vary |= name == header::VARY;
    }
    if !has_rule {
        let rule = match no_store {
            true => const { HeaderValue::from_static("no-store") },
            false => const { HeaderValue::from_static("private, no-cache") },
        };
        headers.append(header::CACHE_CONTROL, rule);
    }
    match has_vary {
        true => vary_by_cookie(headers),
        false => _ = headers.append(header::VARY, const { HeaderValue::from_static("cookie") }),
    }
}

/// For any response that depends on whether there is a session. Adds to the handler's `Vary`.
pub(crate) fn vary_by_cookie(headers: &mut HeaderMap) {
    vary_by(headers, const { HeaderValue::from_static("cookie") });
}

/// The same, if bearer tokens are accepted, too.
pub(crate) fn vary_by_authorization(headers: &mut HeaderMap) {
    vary_by(headers, const { HeaderValue::from_static("authorization") });
}

fn vary_by(headers: &mut HeaderMap, field: HeaderValue) {
    let mut vary = match headers.entry(header::VARY) {
        Entry::Occupied(vary) => vary,
        Entry::Vacant(vary) => {
            vary.insert(field);
            return;
        }
    };
    let names = |value: &HeaderValue, name: &[u8]| {
        value.as_bytes().split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name))
    };
    if vary.iter().any(|value| names(value, field.as_bytes()) || names(value, b"*")) {
        return;
    }
    let merged = [vary.get().as_bytes(), b", ", field.as_bytes()].concat();
    match HeaderValue::from_bytes(&merged) {
        Ok(merged) if vary.iter().count() == 1 => _ = vary.insert(merged),
        _ => vary.append(field),
    }
}

/// The name of the cookie that a `Set-Cookie` line sets.
pub(crate) fn cookie_name(line: &HeaderValue) -> &[u8] {
    let name = line.as_bytes().split(|b| *b == b'=').next().unwrap_or_default();
    name.trim_ascii()
}

/// Whether a response sets, or removes, the cookie `name`.
pub(crate) fn sets_cookie(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(header::SET_COOKIE).iter().any(|line| cookie_name(line) == name.as_bytes())
}

/// Whether a response sets, or removes, any of these cookies.
pub(crate) fn sets_any(headers: &HeaderMap, names: &[String]) -> bool {
    // Most responses set no cookie at all.
    headers.keys().any(|name| name == header::SET_COOKIE)
        && names.iter().any(|name| sets_cookie(headers, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vary(lines: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::VARY, HeaderValue::from_static(line));
        }
        vary_by_cookie(&mut headers);
        headers.get_all(header::VARY).iter().map(|v| v.to_str().expect("ASCII").to_owned()).collect()
    }

    #[test]
    fn vary_is_added_to_and_not_overwritten() {
        assert_eq!(vary(&[]), ["cookie"]);
        assert_eq!(vary(&["Accept, Origin"]), ["Accept, Origin, cookie"]);
        assert_eq!(vary(&["accept", "origin"]), ["accept", "origin", "cookie"]);
        assert_eq!(vary(&["Accept , Cookie"]), ["Accept , Cookie"]);
        assert_eq!(vary(&["*"]), ["*"]);
    }

    #[test]
    fn what_the_handler_said_of_caching_stands_unless_cookies_are_set() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, s-maxage=60"));
        keep_private(&mut headers, true);
        assert_eq!(headers["cache-control"], "public, s-maxage=60");
        forbid(&mut headers);
        assert_eq!(headers["cache-control"], "no-store");
    }
}
