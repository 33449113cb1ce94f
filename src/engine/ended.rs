//! Waiting for a session's end: for connections that outlive a request.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use super::{Active, Engine, RenewError, renew::known, timer::timer};
use crate::{claims::Claims, time::Timestamp};

/// How long until a store without a feed, or one that did not answer, is asked again.
const SOON: Duration = Duration::from_secs(1);
/// The longest that such a store is left alone.
const LATE: Duration = Duration::from_secs(32);

impl<C: Claims> Engine<C> {
    /// Returns when the session has ended, in whatever way. The feed tells of those that were ended;
    /// the store is asked now and then for those that ran out.
    pub(crate) async fn ended(self: Arc<Self>, active: Arc<Active<C>>) {
        self.start();
        let mut patience = SOON;
        // Nothing runs out before the access token does.
        let mut look_in = if self.has_feed { active.expires.since(self.now()) } else { SOON };
        let mut asked = None;
        loop {
            if self.told_or_after(&active, look_in, asked).await {
                return;
            }
            asked = self.revocations.subject_stale_until(&active.key.subject.name);
            let answer = self.ask_about("get", active.run, self.store.get(&active.key)).await;
            look_in = match answer.and_then(|snapshot| Ok(known(snapshot, active.run)?)) {
                Ok(record) if self.is_live(&record.family, self.now()) => {
                    let family = record.family;
                    let runs_out = family.idle_deadline.min(family.absolute_deadline).since(self.now());
                    let again = if self.has_feed { self.config.policy.timing().access_ttl } else { SOON };
                    patience = SOON;
                    runs_out.min(again)
                }
                Ok(_) | Err(RenewError::Refused(_)) => return,
                // A store in trouble is not helped by all who wait asking at once.
                Err(RenewError::Unavailable) => {
                    let jitter = SOON * u32::from(active.key.id.jitter()) / 256;
                    let longer = (patience * 2).min(LATE);
                    std::mem::replace(&mut patience, longer) + jitter
                }
            };
        }
    }

    /// Waits until this instance learns that the session has ended, and then answers with true; with
    /// false if the store is to be asked: after `time`, or when something was heard of its subject.
    /// `asked` is what was known of the subject when the store was asked last.
    async fn told_or_after(&self, active: &Active<C>, time: Duration, asked: Option<Timestamp>) -> bool {
        let (id, subject) = (&active.key.id, &active.key.subject.name);
        // Without timers, only what this instance is told of.
        let mut time = std::pin::pin!(timer(time));
        loop {
            let mut told = std::pin::pin!(self.revocations.told_of(subject));
            // From here on, no end goes by unnoticed.
            told.as_mut().enable();
            if self.revocations.is_revoked(id) || self.revocations.is_past(active.run) {
                return true;
            }
            if self.revocations.subject_stale_until(subject) > asked {
                return false;
            }
            let is_time = poll_fn(|cx| match told.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(false),
                Poll::Pending => match time.as_mut().as_pin_mut() {
                    Some(time) => time.poll(cx).map(|()| true),
                    None => Poll::Pending,
                },
            });
            if is_time.await {
                return false;
            }
        }
    }
}
