//! Carries out what `protocol::settle` decides.

use http::HeaderValue;

use super::{Engine, Renewal};
use crate::{
    claims::Claims,
    protocol::{Departure, Family, Settlement, settle},
    time::Reading,
};

/// The `Set-Cookie` lines that the layer adds to a response.
pub(crate) type Lines = Vec<HeaderValue>;

impl<C: Claims> Engine<C> {
    /// The cookies for the response to a renewed request, whose head leaves now. `written` tells
    /// whether the handler wrote the cookie of that name.
    pub(crate) fn settle(
        &self,
        renewal: &Renewal<C>,
        arrived: Reading,
        written: impl Fn(&str) -> bool,
    ) -> Lines {
        let leaves = self.read_clock();
        let now = leaves.wall;
        let active = &renewal.active;
        let departure = self.departure(renewal, arrived, leaves, &written);
        let (access, refresh) =
            match settle(&self.as_judged_here(&renewal.record.family).timing, &departure, now) {
                Settlement::LeaveAlone => return Lines::new(),
                Settlement::WriteAccess => (true, false),
                Settlement::WriteRefresh => (false, true),
                Settlement::WriteBoth => (true, true),
            };
        // All or nothing: a new access token must not leave without its refresh token.
        let lines = (|| {
            let mut lines = Lines::with_capacity(3);
            // First, for clients that tell cookies apart by name only.
            lines.extend(self.config.cookies.former_removals().map(|(_, line)| line));
            if access {
                lines.push(self.access_line(&renewal.basis(), Some(&active.claims), now)?.value);
                // It is for showing only. Without it, the session goes on.
                let readable = self.readable_line(&active.claims, &renewal.record, now);
                let readable = readable.inspect_err(|error| self.report_unwritten(error, &active.key));
                lines.extend(
                    readable.ok().flatten().filter(|line| !written(&line.name)).map(|line| line.value),
                );
            }
            if refresh {
                lines.push(self.refresh_line(&renewal.record, &active.key, active.run, now)?.value);
            }
            Ok::<_, crate::token::MintError>(lines)
        })();
        lines.unwrap_or_else(|error| {
            self.report_unwritten(&error, &active.key);
            Lines::new()
        })
    }

    /// The family as responses of this instance go by it: with its own write window if that is shorter.
    pub(super) fn as_judged_here(&self, family: &Family) -> Family {
        Family {
            timing: family.timing.with_window_within(self.config.policy.timing().write_window),
            ..*family
        }
    }

    /// What is known of a renewed request when the head of its response leaves.
    pub(super) fn departure(
        &self,
        renewal: &Renewal<C>,
        arrived: Reading,
        now: Reading,
        written: impl Fn(&str) -> bool,
    ) -> Departure {
        let active = &renewal.active;
        Departure {
            // However the wall clock was stepped meanwhile. A request that shares what was read for an
            // earlier one must not answer any later.
            arrived: (now.wall - now.since(&arrived)).min(renewal.read_at),
            presented: renewal.presented,
            served: active.generation,
            standing: self.standing_since_read(renewal),
            access_written: written(&self.config.cookies.access),
            refresh_written: written(&self.config.cookies.refresh),
        }
    }
}
