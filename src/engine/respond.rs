//! The response: its cookies and cache headers. Cookies are chosen when the response headers are sent.

use http::{HeaderMap, HeaderValue, header};

use super::{Engine, Renewal, mint::AccessBasis};
use crate::{
    cache,
    claims::Claims,
    cookie::Names,
    protocol::{CookieDecision, Family, ResponseState, decide_cookies},
    time::Reading,
};

/// What to add to the response.
pub(crate) enum ResponsePlan<C> {
    Anonymous,
    /// The session was not renewed.
    Unchanged,
    Renewed {
        renewal: Box<Renewal<C>>,
        arrived: Reading,
    },
}

/// How a layer's responses are cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheRules {
    /// Whether bearer tokens are accepted, too.
    pub(crate) varies_by_authorization: bool,
    /// Whether all responses to a session have `no-store`.
    pub(crate) no_store: bool,
    /// The names of the cookies. A response that sets one of them always has `no-store`.
    pub(crate) names: Names,
}

impl<C: Claims> ResponsePlan<C> {
    /// Adds cookies and cache headers to a handler's response.
    pub(crate) fn finish(&self, headers: &mut HeaderMap, rules: CacheRules) {
        let CacheRules { no_store, names, .. } = rules;
        match self {
            // The handler signed in or out, or changed the session.
            Self::Anonymous | Self::Unchanged if cache::sets_any(headers, names) => cache::forbid(headers),
            Self::Anonymous => cache::vary_by_cookie(headers),
            Self::Unchanged => cache::keep_private(headers, no_store),
            Self::Renewed { renewal, arrived } => {
                let engine = &renewal.session.token.engine;
                let lines = engine.cookie_lines(renewal, *arrived, |name| cache::sets_cookie(headers, name));
                #[cfg(feature = "device-bound")]
                if !lines.is_empty() && engine.offers_registration(&renewal.record) {
                    let offer = engine.registration_offer(&renewal.session.view().key.id);
                    headers.extend(offer.map(|offer| (super::bound::REGISTRATION, offer)));
                }
                if lines.is_empty() && !cache::sets_any(headers, names) {
                    return cache::keep_private(headers, no_store);
                }
                for line in lines {
                    headers.append(header::SET_COOKIE, line);
                }
                cache::forbid(headers);
            }
        }
    }
}

impl<C: Claims> Engine<C> {
    /// The cookies for the response to a renewed request, whose headers are sent now. `written` returns whether the
    /// handler wrote the cookie of that name.
    fn cookie_lines(
        &self,
        renewal: &Renewal<C>,
        arrived: Reading,
        written: impl Fn(&str) -> bool,
    ) -> Vec<HeaderValue> {
        let sent_at = self.revocation.read_clock();
        let now = sent_at.wall;
        let view = renewal.session.view();
        let response = self.response_state(renewal, arrived, sent_at, &written);
        let (access, refresh) = match decide_cookies(
            &self.with_own_write_window(&renewal.record.family).timing,
            &response,
            now,
        ) {
            CookieDecision::LeaveAlone => return Vec::new(),
            CookieDecision::WriteAccess => (true, false),
            CookieDecision::WriteRefresh => (false, true),
            CookieDecision::WriteBoth => (true, true),
        };
        // All or nothing: a new access token must not be sent without its refresh token.
        let lines = (|| {
            let mut lines = Vec::with_capacity(3);
            // Removals of former cookies come first: a client that compares only names would otherwise delete the new
            // cookie.
            lines.extend(self.config.cookies.former_removals().map(|(_, line)| line));
            if access {
                lines.push(self.access_line(&self.access_basis(renewal), Some(&view.claims), now)?.value);
                // This cookie is optional: an error does not stop the renewal.
                let readable = self.readable_line(&view.claims, &renewal.record, now);
                let readable = readable.inspect_err(|error| self.report_unwritten(error, &view.key));
                lines.extend(
                    readable.ok().flatten().filter(|line| !written(&line.name)).map(|line| line.value),
                );
            }
            if refresh {
                lines.push(self.refresh_line(&renewal.record, &view.key, view.run, now)?.value);
            }
            Ok::<_, crate::token::MintError>(lines)
        })();
        lines.unwrap_or_else(|error| {
            self.report_unwritten(&error, &view.key);
            Vec::new()
        })
    }

    /// The family with this instance's write window, if that is shorter.
    pub(super) fn with_own_write_window(&self, family: &Family) -> Family {
        Family {
            timing: family.timing.with_write_window_at_most(self.config.policy.timing().write_window),
            ..*family
        }
    }

    /// What is known of a renewed request when its response headers are sent.
    pub(super) fn response_state(
        &self,
        renewal: &Renewal<C>,
        arrived: Reading,
        now: Reading,
        written: impl Fn(&str) -> bool,
    ) -> ResponseState {
        ResponseState {
            // Computed with the monotonic clock, so steps of the wall clock do not matter. For a shared renewal the
            // time of its read counts, so that its cookies are not sent later than those of the first request.
            arrived: (now.wall - now.since(&arrived)).min(renewal.read_at),
            presented: renewal.presented,
            served: renewal.session.view().generation,
            status: self.status_since_read(renewal),
            access_written: written(&self.config.cookies.access),
            refresh_written: written(&self.config.cookies.refresh),
        }
    }

    /// The data that the access token of a renewal is minted from.
    pub(super) fn access_basis<'a>(&self, renewal: &'a Renewal<C>) -> AccessBasis<'a> {
        let view = renewal.session.view();
        AccessBasis {
            record: &renewal.record,
            key: &view.key,
            run: view.run,
            generation: view.generation,
            requires_step_up: view.requires_step_up(),
            read_at: renewal.read_at,
            limit: renewal.limit,
        }
    }
}
