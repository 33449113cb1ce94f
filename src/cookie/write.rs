//! `Set-Cookie` lines. A browser removes a cookie only if the attributes are those that it was set with.

use std::time::Duration;

use cookie::Cookie;
use http::HeaderValue;

use super::config::Cookies;

/// Browsers cap lifetimes at 400 days (RFC 6265bis, section 5.5).
const LONGEST_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Browsers drop a cookie whose name and value have more than 4096 bytes (RFC 6265bis, section 5.6). Servers
/// refuse headers of more than about 8 KB, so this leaves room for other cookies.
pub(crate) const LONGEST_VALUE: usize = 3072;

impl Cookies {
    /// A line that sets a cookie. Without `max_age` the cookie ends with the browser. None if the value is
    /// longer than [`LONGEST_VALUE`]. (The builder checks names, paths and domains, and values are tokens, so
    /// there is no other reason.)
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

    /// The attributes of the access cookie, as browsers compare them: without `Max-Age`.
    #[cfg(feature = "device-bound")]
    pub(crate) fn access_attributes(&self) -> String {
        self.attributes_of(&self.access).trim_start_matches("; ").to_owned()
    }

    /// The line that removes the access cookie.
    pub(crate) fn access_removal(&self) -> Option<HeaderValue> {
        let line = self.removal(&self.access, &self.path, self.domain.as_deref(), self.partitioned);
        line.map(|(_, line)| line)
    }

    /// The attributes of the cookie `name`, as text after its value.
    fn attributes_of(&self, name: &str) -> String {
        let mut line = self.base(name, "", &self.path, self.domain.as_deref()).to_string();
        line.split_off(name.len() + "=".len())
    }

    /// The lines that remove the cookies and the former cookies.
    pub(crate) fn removals(&self) -> impl Iterator<Item = (&str, HeaderValue)> {
        let ours = [&self.access, &self.refresh].into_iter().chain(&self.readable);
        ours.filter_map(|name| self.removal(name, &self.path, self.domain.as_deref(), self.partitioned))
            .chain(self.former_removals())
    }

    /// The lines that remove the former cookies. If the cookies are partitioned now, the former ones may not have
    /// been, and for a browser those are other cookies.
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
