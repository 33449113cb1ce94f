//! Writes `Set-Cookie` headers. A browser removes a cookie only if the removal has the attributes with which the cookie
//! was set.

use std::time::Duration;

use cookie::Cookie;
use http::HeaderValue;

use super::config::Cookies;

/// Browsers cap lifetimes at 400 days (RFC 6265bis, section 5.5).
const LONGEST_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The longest value of a cookie, in bytes. Browsers drop a cookie whose name and value have more than 4096 bytes (RFC
/// 6265bis, section 5.6). Servers refuse headers of more than about 8 KB. So this limit leaves room for other cookies.
pub(crate) const LONGEST_VALUE: usize = 3072;

impl Cookies {
    /// The `Set-Cookie` header that sets a cookie. Without `max_age`, the browser deletes the cookie when it is closed.
    /// `None` if the value is longer than [`LONGEST_VALUE`]. (There is no other reason: the builder has checked the
    /// names, paths and domains, and the values are tokens or percent-encoded text.)
    pub(crate) fn set(&self, name: &str, value: &str, max_age: Option<Duration>) -> Option<HeaderValue> {
        if value.len() > LONGEST_VALUE {
            return None;
        }
        let attributes = match self.readable.as_deref() == Some(name) {
            true => &self.attributes_of(name),
            false => self.attributes.get_or_init(|| self.attributes_of(name)),
        };
        let max_age = max_age.map(|age| format!("; Max-Age={}", age.min(LONGEST_MAX_AGE).as_secs()));
        let line = [name, "=", value, attributes, max_age.as_deref().unwrap_or_default()].concat();
        HeaderValue::try_from(line).ok()
    }

    /// The attributes of the access cookie without `Max-Age`, as browsers compare them.
    #[cfg(feature = "device-bound")]
    pub(crate) fn access_attributes(&self) -> String {
        self.attributes_of(&self.access).trim_start_matches("; ").to_owned()
    }

    /// The `Set-Cookie` header that removes the access cookie.
    pub(crate) fn access_removal(&self) -> Option<HeaderValue> {
        let line = self.removal(&self.access, &self.path, self.domain.as_deref(), self.partitioned);
        line.map(|(_, line)| line)
    }

    /// The attributes of the cookie `name`, as the text after its value.
    fn attributes_of(&self, name: &str) -> String {
        let mut line = self.base(name, "", &self.path, self.domain.as_deref()).to_string();
        line.split_off(name.len() + "=".len())
    }

    /// The `Set-Cookie` headers that remove the cookies and the former cookies.
    pub(crate) fn removals(&self) -> impl Iterator<Item = (&str, HeaderValue)> {
        let ours = [&self.access, &self.refresh].into_iter().chain(&self.readable);
        ours.filter_map(|name| self.removal(name, &self.path, self.domain.as_deref(), self.partitioned))
            .chain(self.former_removals())
    }

    /// The `Set-Cookie` headers that remove the former cookies. If the cookies are partitioned now, a former cookie may
    /// have been partitioned or not. For a browser, these are two cookies, so both are removed.
    pub(crate) fn former_removals(&self) -> impl Iterator<Item = (&str, HeaderValue)> {
        let forms = if self.partitioned { &[false, true][..] } else { &[false] };
        let with_form = self.former.iter().flat_map(|former| forms.iter().map(move |form| (former, *form)));
        with_form.filter_map(|(former, partitioned)| {
            self.removal(&former.name, &former.path, former.domain.as_deref(), partitioned)
        })
    }

    fn removal<'c>(
        &'c self,
        name: &'c str,
        path: &'c str,
        domain: Option<&'c str>,
        partitioned: bool,
    ) -> Option<(&'c str, HeaderValue)> {
        let mut cookie = self.base(name, "", path, domain);
        cookie.set_partitioned(partitioned);
        cookie.make_removal();
        Some((name, HeaderValue::try_from(cookie.to_string()).ok()?))
    }

    fn base<'c>(&self, name: &'c str, value: &'c str, path: &'c str, domain: Option<&'c str>) -> Cookie<'c> {
        let mut cookie = Cookie::build((name, value))
            .path(path)
            .secure(self.secure)
            .http_only(self.readable.as_deref() != Some(name))
            .same_site(self.same_site)
            .build();
        if self.partitioned {
            cookie.set_partitioned(true);
        }
        if let Some(domain) = domain {
            cookie.set_domain(domain);
        }
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_set_and_removed_with_the_same_attributes() {
        let cookies = Cookies::default();
        let set = cookies.set("__Host-access", "a.b.c", None).expect("a header value");
        assert_eq!(set, "__Host-access=a.b.c; HttpOnly; SameSite=Lax; Secure; Path=/");
        let removals: Vec<_> = cookies.removals().map(|(_, line)| line).collect();
        assert_eq!(removals.len(), 2);
        for line in removals {
            let line = line.to_str().expect("ASCII");
            assert!(
                line.contains("=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires="),
                "{line}"
            );
        }
    }

    #[test]
    fn a_lifetime_is_capped_at_400_days() {
        let set = Cookies::default().set("n", "v", Some(Duration::MAX)).expect("a header value");
        assert!(set.to_str().expect("ASCII").contains("Max-Age=34560000"));
    }
}
