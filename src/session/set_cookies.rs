//! The cookies of a sign-in or sign-out, as part of the response.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    claims::Claims,
    engine::{CookieLine, Engine, cookie_name, forbid_caching},
    id::SessionId,
};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Sets or removes the cookies of a session in a response. **Make the `SetCookies` part of the response.** In axum, it
/// implements `IntoResponseParts`. Without axum, call [`apply`](Self::apply).
///
/// `SetCookies` replaces cookies of the same names that the response already sets, and sets `Cache-Control: no-store`.
/// Put `SetCookies` after your own headers, because a later `Cache-Control` would replace this one.
///
/// The cookies of a new session are left out if this instance knows that the session was revoked in the meantime.
/// Suppose that two sign-ins run at the same time, and that the cap on sessions revokes the first session. Then a late
/// response of the first sign-in does not replace the cookies of the second sign-in.
#[must_use = "a browser only learns of a sign-in or sign-out if its cookies are part of the response"]
#[derive(Clone)]
pub struct SetCookies {
    lines: Vec<CookieLine>,
    session: Option<Opened>,
    clear_cache: bool,
    /// The value of the header that offers the browser to bind the session to its device.
    #[cfg(feature = "device-bound")]
    offer: Option<HeaderValue>,
}

/// The new session of a sign-in.
#[derive(Clone)]
struct Opened {
    id: SessionId,
    denylist: Arc<dyn Denylist>,
}

/// Knows which sessions are revoked. Independent of the claims type.
trait Denylist: Send + Sync {
    fn has(&self, session: &SessionId) -> bool;
}

impl<C: Claims> Denylist for Engine<C> {
    fn has(&self, session: &SessionId) -> bool {
        self.revocation.denylist.is_revoked(session)
    }
}

impl SetCookies {
    pub(crate) fn new(lines: Vec<CookieLine>) -> Self {
        Self {
            lines,
            session: None,
            clear_cache: false,
            #[cfg(feature = "device-bound")]
            offer: None,
        }
    }

    pub(crate) fn of_session<C: Claims>(
        id: SessionId,
        lines: Vec<CookieLine>,
        engine: Arc<Engine<C>>,
    ) -> Self {
        Self {
            #[cfg(feature = "device-bound")]
            offer: engine.registration_offer(&id),
            session: Some(Opened { id, denylist: engine }),
            ..Self::new(lines)
        }
    }

    /// The ID of the new session. `None` if the cookies are not from a sign-in.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.session.as_ref().map(|opened| opened.id)
    }

    /// For a sign-out: tells the browser to remove its cached pages of this site (`Clear-Site-Data: "cache"`; Clear
    /// Site Data, section 3.1). Default: off.
    ///
    /// The browser's back button can show cached pages without a request. With this header, the browser removes these
    /// pages, except the page that is open when the response arrives. If a page has secrets, send the page with
    /// `Cache-Control: no-store`.
    #[doc(alias = "Clear-Site-Data")]
    pub fn clear_cache(mut self) -> Self {
        self.clear_cache = true;
        self
    }

    /// Writes the cookies into the headers of a response.
    pub fn apply(mut self, headers: &mut HeaderMap) {
        if self.session.take().is_some_and(|opened| opened.denylist.has(&opened.id)) {
            self.lines.clear();
            #[cfg(feature = "device-bound")]
            drop(self.offer.take());
        }
        #[cfg(feature = "device-bound")]
        if let Some(offer) = self.offer {
            headers.insert(crate::engine::REGISTRATION, offer);
        }
        let ours = |line: &HeaderValue| self.lines.iter().any(|own| own.name.as_bytes() == cookie_name(line));
        if let header::Entry::Occupied(entry) = headers.entry(header::SET_COOKIE) {
            let (name, others): (_, Vec<_>) = {
                let (name, values) = entry.remove_entry_mult();
                (name, values.filter(|line| !ours(line)).collect())
            };
            for line in others {
                headers.append(name.clone(), line);
            }
        }
        for line in self.lines {
            headers.append(header::SET_COOKIE, line.value);
        }
        if self.clear_cache {
            headers.append(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
        }
        forbid_caching(headers);
    }
}

/// Shows the names of the cookies, and not their values.
impl fmt::Debug for SetCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines.iter().map(|line| &line.name)).finish()
    }
}
