//! Waits until a session is revoked or expires, for connections that outlive a request.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use super::{Engine, SessionView, VerifiedToken};
use crate::{backend::timer, claims::Claims, revocation::SessionError, time::Timestamp};

/// The poll interval for a store without a feed, and the first retry interval after a failure.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The longest retry interval, before jitter.
const MAX_RETRY: Duration = Duration::from_secs(32);

impl<C: Claims> Engine<C> {
    /// Returns when the session is revoked or expired. Revocations come from the feed. If the store has no feed, the
    /// store is polled for them. Expiry is checked by asking the store.
    pub(crate) async fn ended(self: &Arc<Self>, token: &VerifiedToken<C>) {
        self.start_followers();
        let view = &token.view;
        let mut retry = POLL_INTERVAL;
        // The session does not expire before the access token, except if the token is from a passive renewal with a
        // proof.
        let mut wait_for = if self.backend.has_feed { view.expires.since(self.now()) } else { POLL_INTERVAL };
        // The subject's newest stale mark at the last call of the store. After a newer mark, the store is asked again.
        let mut seen_mark = None;
        loop {
            if self.wait_for_revocation(view, wait_for, seen_mark).await {
                return;
            }
            seen_mark = self.revocation.denylist.subject_stale_until(&view.key.subject.name);
            let answer = self.read(&view.key, view.run).await;
            wait_for = match answer {
                Ok(record) if self.is_live_by_policy(&record.family, self.now()) => {
                    let family = record.family;
                    let expires_in = family.idle_deadline.min(family.absolute_deadline).since(self.now());
                    let poll_interval = if self.backend.has_feed {
                        self.config.policy.timing().access_ttl
                    } else {
                        POLL_INTERVAL
                    };
                    retry = POLL_INTERVAL;
                    expires_in.min(poll_interval)
                }
                Ok(_) | Err(SessionError::Refused(_)) => return,
                // With the jitter, the connections that wait do not all ask a failing store at once.
                Err(SessionError::Unavailable) => {
                    let jitter = POLL_INTERVAL * u32::from(view.key.id.jitter()) / 256;
                    let longer = (retry * 2).min(MAX_RETRY);
                    std::mem::replace(&mut retry, longer) + jitter
                }
            };
        }
    }

    /// Returns true as soon as this instance knows that the session is revoked. Returns false if the store must be
    /// asked: after `time`, or if the subject was marked as stale after `seen_mark`. Such a mark can also mean that
    /// another instance revoked sessions of the subject.
    pub(super) async fn wait_for_revocation(
        &self,
        view: &SessionView<C>,
        time: Duration,
        seen_mark: Option<Timestamp>,
    ) -> bool {
        let (id, subject) = (&view.key.id, &view.key.subject.name);
        // In a runtime without timers, `time` has no effect.
        let mut deadline = std::pin::pin!(timer(time));
        loop {
            let mut changed = std::pin::pin!(self.revocation.denylist.changed(subject));
            // From here on, no revocation is missed.
            changed.as_mut().enable();
            if self.revocation.denylist.check(id, view.run).is_err() {
                return true;
            }
            if self.revocation.denylist.subject_stale_until(subject) > seen_mark {
                return false;
            }
            let is_time = poll_fn(|cx| match changed.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(false),
                Poll::Pending => match deadline.as_mut().as_pin_mut() {
                    Some(deadline) => deadline.poll(cx).map(|()| true),
                    None => Poll::Pending,
                },
            });
            if is_time.await {
                return false;
            }
        }
    }
}
