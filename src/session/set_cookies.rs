//! The cookies of a sign-in or sign-out, as part of the response.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    claims::Claims,
    engine::{CookieLine, Engine, cookie_name, forbid_caching},
    id::SessionId,
};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The cookies of a sign-in, or their removal. **Make it part of the response**: in axum it is one
/// (`IntoResponseParts`); elsewhere [`apply`](Self::apply) it.
///
/// It replaces cookies that the response already sets under the same names, and sets `Cache-Control: no-store`.
/// Put it after headers of your own: a later `Cache-Control` would win.
///
/// Cookies of a session that was revoked meanwhile are left out, if this instance knows of it. So if two sign-ins
/// run at once and the cap on sessions revokes the first session, its late response does not replace the cookies
/// of the second.
#[must_use = "a browser only learns of a sign-in or sign-out if its cookies are part of the response"]
#[derive(Clone)]
pub struct SetCookies {
    lines: Vec<CookieLine>,
    session: Option<Opened>,
    clear_cache: bool,
    /// Offers to bind the session to the browser's device.
    #[cfg(feature = "device-bound")]
    offer: Option<HeaderValue>,
}

/// A session that began.
#[derive(Clone)]
struct Opened {
    id: SessionId,
    denylist: Arc<dyn Denylist>,
}

/// Knows which sessions are revoked.
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

    /// The session that began, if this is a sign-in.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.session.as_ref().map(|opened| opened.id)
    }

    /// Has the browser drop its cached pages of this site (`Clear-Site-Data: "cache"`; Clear Site Data, section
    /// 3.1), for a sign-out. Default: off.
    ///
    /// The browser's back button can show cached pages without a request. This header drops them, except the page
    /// that is open when the response comes. Pages with secrets should be sent with `Cache-Control: no-store`.
    #[doc(alias = "Clear-Site-Data")]
    pub fn clear_cache(mut self) -> Self {
        self.clear_cache = true;
        self
    }

    /// Writes the cookies into a response's headers.
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
