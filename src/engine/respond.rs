//! The response: its cookies and cache headers. Cookies are chosen when the response headers are sent.
//!
//! A shared cache must not give the session or the page of one user to another user.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

use super::{Engine, Renewal, mint::TokenBasis};
use crate::{
    claims::Claims,
    cookie::{Cookies, Names},
    protocol::{CookieDecision, Family, ResponseState, decide_cookies},
    time::Reading,
    token::MintError,
};

/// What to add to the response.
pub(crate) enum ResponsePlan<C> {
    /// The request has no session.
    Anonymous,
    /// The request has a session, and did not renew it.
    NotRenewed,
    Renewed {
        renewal: Box<Renewal<C>>,
        arrived: Reading,
    },
}

/// How a layer's responses are cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheRules {
    /// Whether the layer accepts bearer tokens besides cookies. Then its responses vary by `Authorization`.
    pub(crate) accepts_bearer: bool,
    /// Whether each response to a session has `no-store`, unless the handler sets `Cache-Control`.
    pub(crate) no_store: bool,
    /// A response that sets one of these cookies always has `no-store`.
    pub(crate) cookie_names: Names,
}

impl<C: Claims> ResponsePlan<C> {
    /// Adds cookies and cache headers to a handler's response.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap, rules: CacheRules) {
        let CacheRules { no_store, cookie_names, .. } = rules;
        match self {
            // The handler signed in or out, or changed the session.
            Self::Anonymous | Self::NotRenewed if sets_any(headers, cookie_names) => forbid_caching(headers),
            Self::Anonymous => vary_by(headers, COOKIE),
            Self::NotRenewed => keep_private(headers, no_store),
            Self::Renewed { renewal, arrived } => {
                let engine = &renewal.session.token.engine;
                let lines = engine.cookie_lines(renewal, *arrived, |name| sets_cookie(headers, name));
                #[cfg(feature = "device-bound")]
                if !lines.is_empty() && engine.offers_registration(&renewal.record) {
                    let offer = engine.registration_offer(&renewal.session.view().key.id);
                    headers.extend(offer.map(|offer| (super::bound::REGISTRATION, offer)));
                }
                if lines.is_empty() && !sets_any(headers, cookie_names) {
                    return keep_private(headers, no_store);
                }
                for line in lines {
                    headers.append(header::SET_COOKIE, line);
                }
                forbid_caching(headers);
            }
        }
    }
}

/// `Set-Cookie` headers that delete cookies of former settings. They are sent if a cookie name has two values, because
/// one of the two may be such a cookie.
#[derive(Debug, Default)]
pub(crate) struct FormerCookieRemovals(Option<Box<[HeaderValue]>>);

impl FormerCookieRemovals {
    pub(super) fn of(cookies: &Cookies) -> Self {
        let lines: Box<[_]> = cookies.former_removals().map(|(_, line)| line).collect();
        Self((!lines.is_empty()).then_some(lines))
    }

    /// Adds the headers that the response does not have yet.
    #[inline]
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        if let Some(lines) = &self.0 {
            Self::add(lines, headers);
        }
    }

    #[cold]
    fn add(lines: &[HeaderValue], headers: &mut HeaderMap) {
        for line in lines {
            if headers.get_all(header::SET_COOKIE).iter().all(|other| other != line) {
                headers.append(header::SET_COOKIE, line.clone());
            }
        }
        forbid_caching(headers);
    }
}

impl<C: Claims> Engine<C> {
    /// The cookies for the response to a request that renewed its session. Call this when the response headers are
    /// sent. `handler_wrote` returns whether the handler wrote the cookie of that name.
    fn cookie_lines(
        &self,
        renewal: &Renewal<C>,
        arrived: Reading,
        handler_wrote: impl Fn(&str) -> bool,
    ) -> Vec<HeaderValue> {
        let sent_at = self.revocation.read_clock();
        let now = sent_at.wall;
        let view = renewal.session.view();
        let response = self.response_state(renewal, arrived, sent_at, &handler_wrote);
        let (access, refresh) = match decide_cookies(
            &self.with_shorter_write_window(&renewal.record.family).timing,
            &response,
            now,
        ) {
            CookieDecision::LeaveAlone => return Vec::new(),
            CookieDecision::WriteAccess => (true, false),
            CookieDecision::WriteRefresh => (false, true),
            CookieDecision::WriteBoth => (true, true),
        };
        let (codec, basis) = (self.tokens.codec(), self.token_basis(renewal));
        // All or nothing: a new access token must not be sent without its refresh token.
        let lines = (|| {
            let mut lines = Vec::with_capacity(3);
            // Removals of former cookies come first: a client that compares only names would otherwise delete the new
            // cookie.
            lines.extend(self.config.cookies.former_removals().map(|(_, line)| line));
            if access {
                lines.push(self.access_line(&codec, &basis, Some(&view.claims), now)?.value);
                // This cookie is optional: an error does not stop the renewal.
                let readable = self.readable_line(&view.claims, &renewal.record, now);
                let readable = readable.inspect_err(|error| self.report_unwritten(error, &view.key));
                lines.extend(
                    readable.ok().flatten().filter(|line| !handler_wrote(&line.name)).map(|line| line.value),
                );
            }
            if refresh {
                lines.push(self.refresh_line(&codec, &basis, now)?.value);
            }
            Ok::<_, MintError>(lines)
        })();
        lines.unwrap_or_else(|error| {
            self.report_unwritten(&error, &view.key);
            Vec::new()
        })
    }

    /// A copy of the session's rotation state, with the shorter of two write windows: the session's and this
    /// instance's.
    pub(super) fn with_shorter_write_window(&self, family: &Family) -> Family {
        Family {
            timing: family.timing.with_write_window_at_most(self.config.policy.timing().write_window),
            ..*family
        }
    }

    /// What is known of a request that renewed its session, when its response headers are sent.
    pub(super) fn response_state(
        &self,
        renewal: &Renewal<C>,
        arrived: Reading,
        now: Reading,
        handler_wrote: impl Fn(&str) -> bool,
    ) -> ResponseState {
        ResponseState {
            // The arrival, or the read of the record, if the read was earlier: parallel requests share one read. The
            // arrival is computed by the monotonic clock, so that steps of the wall clock do not matter.
            write_window_start: (now.wall - now.since(&arrived)).min(renewal.read_at),
            presented: renewal.presented,
            served: renewal.session.view().generation,
            status: self.status_since_read(renewal),
            access_written: handler_wrote(&self.config.cookies.access),
            refresh_written: handler_wrote(&self.config.cookies.refresh),
        }
    }

    /// The data that the tokens of a renewal are minted from.
    pub(super) fn token_basis<'a>(&self, renewal: &'a Renewal<C>) -> TokenBasis<'a> {
        let view = renewal.session.view();
        TokenBasis {
            record: &renewal.record,
            key: &view.key,
            run: view.run,
            generation: view.generation,
            step_up_without_methods: view.step_up_without_methods(),
            read_at: renewal.read_at,
            limit: renewal.limit,
        }
    }
}

/// Each response that depends on whether there is a session varies by this request header.
const COOKIE: HeaderValue = HeaderValue::from_static("cookie");

/// For a response that sets session cookies: it must not be stored, even if the handler says otherwise (OWASP Session
/// Management; CVE-2023-30861).
pub(crate) fn forbid_caching(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    let others: Vec<_> = headers.keys().filter(|name| outranks_cache_control(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
    vary_by(headers, COOKIE);
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
fn keep_private(headers: &mut HeaderMap, no_store: bool) {
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
        true => vary_by(headers, COOKIE),
        false => _ = headers.append(header::VARY, COOKIE),
    }
}

/// Adds `authorization` to the handler's `Vary`: the response depends on the bearer token.
pub(crate) fn vary_by_authorization(headers: &mut HeaderMap) {
    vary_by(headers, const { HeaderValue::from_static("authorization") });
}

/// Adds a name to the handler's `Vary`.
fn vary_by(headers: &mut HeaderMap, field: HeaderValue) {
    let mut vary = match headers.entry(header::VARY) {
        Entry::Occupied(vary) => vary,
        Entry::Vacant(vary) => {
            vary.insert(field);
            return;
        }
    };
    let has_name = |value: &HeaderValue, name: &[u8]| {
        value.as_bytes().split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name))
    };
    if vary.iter().any(|value| has_name(value, field.as_bytes()) || has_name(value, b"*")) {
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
fn sets_any(headers: &HeaderMap, names: &[String]) -> bool {
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
        vary_by(&mut headers, COOKIE);
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
    fn cache_control_of_the_handler_is_kept_unless_cookies_are_set() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, s-maxage=60"));
        keep_private(&mut headers, true);
        assert_eq!(headers["cache-control"], "public, s-maxage=60");
        forbid_caching(&mut headers);
        assert_eq!(headers["cache-control"], "no-store");
    }
}
