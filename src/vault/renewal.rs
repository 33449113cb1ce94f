//! The renewal of tokens at the provider. Over all instances, there is one request at a time for each set of tokens.
//!
//! In one process, parallel calls share one renewal. Between processes, a renewal takes a lease: by compare-and-set, it
//! writes into the stored value that it renews the tokens, and until when. The other processes wait, and then use the
//! new value.

use std::{error::Error, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use super::{
    error::{Lost, ProviderFailure, RefreshError, VaultError},
    kept::{Kept, Owner, State},
    provider::{Provider, Renew},
    secret::without,
    slot::{self, Seen, Slot},
    tokens::TokenSet,
};
use crate::{
    backend::timer,
    claims::Claims,
    engine::Engine,
    event::{EventKind, HookPanic, caught, cause},
    http_client::HttpClientError,
    id::random,
    time::Timestamp,
};

/// The largest difference between the clocks of two instances.
const SKEW: Duration = Duration::from_secs(5);
/// After a failure of the provider, the vault does not ask the provider for this time.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest lease. A lease that lasts longer is ignored, because an instance whose clock was ahead has set it.
const LONGEST_LEASE: Duration = Duration::from_secs(10 * 60);
/// An access token that is rejected sooner than this after the vault got it is not renewed, because the provider would
/// reject the next access token, too.
const SETTLED: Duration = Duration::from_secs(10);
const BUSY: &str = "another instance is renewing the tokens";
/// How many times the vault tries to write new tokens of the provider.
const TRIES: usize = 8;
/// The first and the longest pause between two reads of a value that another instance renews.
const FIRST_LOOK: Duration = Duration::from_millis(40);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// A renewal of the tokens of one owner at one provider.
pub(super) struct Renewal<C> {
    pub(super) engine: Arc<Engine<C>>,
    pub(super) owner: Owner,
    pub(super) provider: Provider,
    /// An access token that the provider rejected, although the access token has not expired.
    pub(super) rejected: Option<TokenSet>,
}

/// The cause of a failed renewal, without the tokens.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reported(Arc<str>);

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

impl<C: Claims> Renewal<C> {
    /// Returns usable tokens. Renews them if necessary.
    pub(super) async fn run(self) -> Result<TokenSet, VaultError> {
        let Some(renew) = self.provider.renew.clone() else {
            let kept = self.read().await?.kept.ok_or(VaultError::Missing)?;
            return self.unless_expired(&kept, VaultError::SignInAgain(Lost::Expired));
        };
        let (mut look, mut waited) = (FIRST_LOOK, Duration::ZERO);
        loop {
            let slot = self.read().await?;
            let kept = slot.kept.as_ref().ok_or(VaultError::Missing)?;
            let now = self.engine.now();
            if kept.is_fresh(now, self.provider.margin) && !self.is_rejected(kept) {
                return Ok(kept.tokens.to_use());
            }
            if self.is_rejected(kept) && now.since(kept.obtained_at) < SETTLED {
                let new =
                    ProviderFailure("the provider rejects an access token that it issued just now".into());
                return Err(VaultError::Unavailable(new));
            }
            if let Some(lost) = kept.lost() {
                return self.unless_expired(kept, VaultError::SignInAgain(lost));
            }
            match kept.state {
                State::Leased { until } if is_ahead(now, until, LONGEST_LEASE) => {
                    let other = ProviderFailure(BUSY.into());
                    if waited >= self.waiting_deadline() {
                        return self.unless_expired(kept, VaultError::Unavailable(other));
                    }
                    if let Ok(tokens) = self.unless_expired(kept, VaultError::Missing) {
                        return Ok(tokens);
                    }
                    pause(look).await.ok_or(VaultError::Unavailable(other))?;
                    waited += look;
                    look = (look * 3 / 2).min(LAST_LOOK);
                }
                State::Paused { until } if is_ahead(now, until, PAUSE) => {
                    let failed = ProviderFailure("the provider failed less than 5 seconds ago".into());
                    return self.unless_expired(kept, VaultError::Unavailable(failed));
                }
                _ => {
                    let interrupted = kept.interrupted || matches!(kept.state, State::Leased { .. });
                    let state = State::Leased { until: now + self.lease() };
                    let leased = Kept { state, interrupted, ..kept.clone() };
                    if let Some(seen) = self.write(Some(&slot.seen), &leased).await? {
                        // Until the answer is written, a shutdown waits: the answer may contain the only valid refresh
                        // token.
                        let _held = self.engine.backend.hold(draw()?);
                        return self.ask(&renew, leased, seen).await;
                    }
                }
            }
        }
    }

    /// Asks the provider and writes its answer. The caller has taken a lease.
    async fn ask(&self, renew: &Arc<Renew>, leased: Kept, seen: Seen) -> Result<TokenSet, VaultError> {
        match self.call(renew, leased.tokens.clone()).await {
            Ok(answer) => {
                let renewed = kept(&self.provider, leased.tokens.renewed(answer), self.engine.now())?;
                match self.settle(leased.answer, &renewed, seen).await {
                    Ok(Some(other)) => return self.unless_expired(&other, VaultError::Missing),
                    Ok(None) => self.report_renewed(),
                    Err(error @ (VaultError::Ended | VaultError::Missing)) => return Err(error),
                    // The new access token is valid, but the new refresh token is not stored. So the next renewal sends
                    // the old refresh token.
                    Err(error) => drop(self.report("unwritten", &error, &renewed.tokens)),
                }
                Ok(renewed.tokens.to_use())
            }
            Err(RefreshError::Refused) => {
                let (lost, state) = match leased.interrupted {
                    true => (Lost::Interrupted, State::Interrupted),
                    false => (Lost::Refused, State::Refused),
                };
                let mut kept = Kept { state, ..leased };
                kept.tokens.refresh_token = None;
                let settled = self.settle(kept.answer, &kept, seen).await;
                if let Ok(Some(other)) = settled {
                    // Another instance has newer tokens, or will have them.
                    let busy = ProviderFailure(BUSY.into());
                    return self.unless_expired(&other, VaultError::Unavailable(busy));
                }
                self.report(lost.word(), &RefreshError::Refused, &kept.tokens);
                settled?;
                self.unless_expired(&kept, VaultError::SignInAgain(lost))
            }
            Err(RefreshError::Failed(error)) => {
                let text = self.report("unavailable", &*error, &leased.tokens);
                let state = State::Paused { until: self.engine.now() + PAUSE };
                // If there was no answer, the provider may have rotated the refresh token.
                let interrupted =
                    leased.interrupted || error.is::<NoAnswer>() || error.is::<HttpClientError>();
                let kept = Kept { state, interrupted, ..leased };
                // If this write fails, the lease expires.
                let _settled = self.settle(kept.answer, &kept, seen).await;
                self.unless_expired(&kept, VaultError::Unavailable(ProviderFailure(text)))
            }
        }
    }

    /// Writes the outcome of the renewal of the tokens from this `answer`. Returns the stored value instead if it
    /// contains other tokens, or if another instance has taken a lease meanwhile. New tokens replace such a lease, and
    /// the write of new tokens is tried more often.
    async fn settle(&self, answer: u64, outcome: &Kept, seen: Seen) -> Result<Option<Kept>, VaultError> {
        let is_new = outcome.answer != answer;
        let tries = if is_new { TRIES } else { 1 };
        let (mut seen, mut wait, mut failures) = (seen, FIRST_LOOK, 0);
        loop {
            let failure = match self.write(Some(&seen), outcome).await {
                Ok(Some(_)) => return Ok(None),
                Ok(None) => match self.read().await {
                    Ok(Slot { kept: None, .. }) => return Err(VaultError::Missing),
                    // An earlier try has written the outcome.
                    Ok(Slot { kept: Some(there), .. }) if is_new && there.answer == outcome.answer => {
                        return Ok(None);
                    }
                    Ok(Slot { kept: Some(there), seen: now, .. }) if is_new && there.answer == answer => {
                        seen = now;
                        continue;
                    }
                    Ok(Slot { kept: other, .. }) => return Ok(other),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            failures += 1;
            let is_final = matches!(failure, VaultError::Ended | VaultError::TooLong);
            if is_final || failures >= tries || pause(wait).await.is_none() {
                return Err(failure);
            }
            wait *= 2;
        }
    }

    /// Calls the application's function, with a deadline.
    async fn call(&self, renew: &Arc<Renew>, tokens: TokenSet) -> Result<TokenSet, RefreshError> {
        let panicked = |panic: HookPanic| {
            self.engine.config.events.failed(EventKind::HookPanicked { hook: "renew" }, &panic);
            RefreshError::failed("the function that renews panicked")
        };
        let mut renewing = caught(|| renew(tokens)).map_err(panicked)?;
        let deadline =
            timer(self.provider.deadline).ok_or_else(|| RefreshError::failed("there are no timers"))?;
        let mut deadline = std::pin::pin!(deadline);
        poll_fn(|cx| match caught(|| renewing.as_mut().poll(cx)) {
            Ok(Poll::Ready(answer)) => Poll::Ready(answer),
            Ok(Poll::Pending) => deadline
                .as_mut()
                .poll(cx)
                .map(|()| Err(RefreshError::failed(NoAnswer(self.provider.deadline)))),
            Err(panic) => Poll::Ready(Err(panicked(panic))),
        })
        .await
    }

    fn report_renewed(&self) {
        let (events, subject) = (&self.engine.config.events, &self.owner.subject().name);
        let kind = EventKind::UpstreamRenewed { provider: self.provider.name.clone() };
        match &self.owner {
            Owner::Session(key) => events.of(kind, &key.id, subject),
            Owner::Subject(_) => events.of_subject(kind, subject),
        }
    }

    /// Reports why there are no new tokens. Returns the cause.
    fn report(&self, why: &'static str, error: &(dyn Error + 'static), tokens: &TokenSet) -> Arc<str> {
        report(&self.engine, &self.owner, &self.provider, why, error, &tokens.secrets())
    }

    async fn read(&self) -> Result<Slot, VaultError> {
        slot::read(&self.engine, &self.owner, &self.provider.name).await
    }

    async fn write(&self, seen: Option<&Seen>, kept: &Kept) -> Result<Option<Seen>, VaultError> {
        slot::write(&self.engine, &self.owner, &self.provider.name, seen, Some(kept)).await
    }

    fn is_rejected(&self, kept: &Kept) -> bool {
        let rejected = self.rejected.as_ref();
        rejected.is_some_and(|rejected| rejected.access_token() == kept.tokens.access_token())
    }

    /// Returns the access token if it is still valid and was not rejected. Otherwise returns `error`.
    fn unless_expired(&self, kept: &Kept, error: VaultError) -> Result<TokenSet, VaultError> {
        let is_usable = kept.tokens.is_valid(self.engine.now()) && !self.is_rejected(kept);
        if is_usable { Ok(kept.tokens.to_use()) } else { Err(error) }
    }

    /// How long a lease lasts: one request to the provider, one write before and one after the request, and the clock
    /// difference.
    fn lease(&self) -> Duration {
        self.waiting_deadline().saturating_add(SKEW).min(LONGEST_LEASE)
    }

    /// The longest time that a call waits for another instance.
    fn waiting_deadline(&self) -> Duration {
        self.provider.deadline.saturating_add(self.engine.config.store_deadline.saturating_mul(2))
    }
}

/// Reports that a provider's tokens could not be renewed or read. Returns the cause, without `secrets`.
pub(super) fn report<C: Claims>(
    engine: &Engine<C>,
    owner: &Owner,
    provider: &Provider,
    why: &'static str,
    error: &(dyn Error + 'static),
    secrets: &[&str],
) -> Arc<str> {
    let text: Arc<str> = without(&cause(error), secrets).into();
    let kind = EventKind::UpstreamFailed { provider: provider.name.clone(), why };
    let (events, subject, error) = (&engine.config.events, &owner.subject().name, Reported(text.clone()));
    match owner {
        Owner::Session(key) => events.failed_of(kind, &error, &key.id, subject),
        Owner::Subject(_) => events.failed_for(kind, &error, subject),
    }
    text
}

/// The stored form of new tokens from the provider.
pub(super) fn kept(provider: &Provider, tokens: TokenSet, now: Timestamp) -> Result<Kept, VaultError> {
    let answer = draw()?;
    let keep_until = provider.with_subject.map(|age| now + age).unwrap_or_default();
    let state = State::Ready;
    Ok(Kept { tokens, state, obtained_at: now, answer, interrupted: false, keep_until })
}

fn draw() -> Result<u64, VaultError> {
    Ok(u64::from_be_bytes(random().map_err(|_| VaultError::Sealing)?))
}

/// Whether `until` is in the future, but at most `most` away. An instance whose clock was ahead may have set a later
/// time. Clocks may differ by [`SKEW`].
fn is_ahead(now: Timestamp, until: Timestamp, most: Duration) -> bool {
    now < until && until.since(now) <= most + SKEW
}

/// Sleeps for `time`. Returns `None` if the runtime has no timers.
async fn pause(time: Duration) -> Option<()> {
    timer(time)?.await;
    Some(())
}
