//! The application's claims: the reload hook, and checks before claims are stored.

use std::{error::Error, future::poll_fn, sync::Arc, task::Poll};

use super::Engine;
use crate::{
    claims::{Claims, Reload, Reloader},
    event::{EventKind, HookPanic, caught},
    protocol::Refusal,
    revocation::SessionError,
    store::{Revoke, SessionKey, SessionRecord},
    time::Timestamp,
    token::{MintError, write_claims, write_short_claims},
};

/// An error of the claims reload hook.
type ReloadError = Box<dyn Error + Send + Sync>;

impl<C: Claims> Engine<C> {
    /// Returns the current claims of a session: those of the reload hook, or without a hook those of the record. The
    /// claims of the hook replace those in `record`, but not those in the store.
    ///
    /// # Errors
    /// The hook failed or revoked the session, or the claims cannot be read.
    pub(super) async fn reload(
        &self,
        key: &SessionKey,
        record: &mut Arc<SessionRecord>,
    ) -> Result<C, SessionError> {
        let events = &self.config.events;
        let parse = |record: &SessionRecord| serde_json::from_str(&record.claims);
        let unreadable = |error: serde_json::Error| {
            events.failed_of(EventKind::ClaimsUnreadable, &error, &key.id, &key.subject.name);
            SessionError::Refused(Refusal::UnreadableClaims)
        };
        let Some(reloader) = &self.config.reloader else { return parse(record).map_err(unreadable) };
        match self.call_reload_hook(reloader, &key.subject.name, parse(record).ok()).await {
            Ok(Reload::Keep) => parse(record).map_err(unreadable),
            Ok(Reload::Replace(claims)) => {
                // Return the claims as the next request will read them from its token.
                let (json, claims) = write_claims(&claims).map_err(|error| {
                    self.report_unwritten(&error, key);
                    SessionError::Unavailable
                })?;
                Arc::make_mut(record).claims = json.into();
                Ok(claims)
            }
            Ok(Reload::Revoke { reason }) => {
                events.of(EventKind::RevokedByApplication { reason }, &key.id, &key.subject.name);
                // Refuse the request even if the store failed. Then the next renewal calls the hook again.
                let _reported = self.revocation.revoke(Revoke::Session(key.clone())).await;
                Err(Refusal::RevokedByApplication.into())
            }
            // It is unknown whether the user may continue, so the answer is 503, not 401.
            Err(error) => {
                events.failed_of(EventKind::ReloadFailed, &*error, &key.id, &key.subject.name);
                Err(SessionError::Unavailable)
            }
        }
    }

    /// Calls the hook, with the deadline of a store call.
    async fn call_reload_hook(
        &self,
        reloader: &Reloader<C>,
        subject: &Arc<str>,
        claims: Option<C>,
    ) -> Result<Reload<C>, ReloadError> {
        let panicked = |panic: HookPanic| -> ReloadError {
            self.config.events.failed(EventKind::HookPanicked { hook: "reload_claims" }, &panic);
            panic.into()
        };
        let mut reloading = caught(|| reloader.reload(subject.clone(), claims)).map_err(panicked)?;
        let answer = poll_fn(|cx| match caught(|| reloading.as_mut().poll(cx)) {
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        });
        let late = || self.backend.too_late();
        self.backend.in_time(answer).await.ok_or_else(late)?.map_err(panicked)?
    }

    /// The claims as JSON, and as the next request will read them. They are checked before anything is stored, because
    /// claims that cannot be read or do not fit into a cookie would make the session unusable.
    pub(super) fn writable_claims(
        &self,
        key: &SessionKey,
        claims: &C,
        methods: &[String],
        reauthentication_methods: &[String],
        now: Timestamp,
    ) -> Result<(Arc<str>, C), MintError> {
        let (json, parsed) = write_short_claims(claims)?;
        self.check_fits_cookie(key, &json, methods, reauthentication_methods, now)?;
        self.check_readable_fits(&parsed)?;
        Ok((json.into(), parsed))
    }

    /// Reports that no token or cookie was written for a session.
    pub(crate) fn report_unwritten(&self, error: &MintError, key: &SessionKey) {
        self.config.events.failed_of(EventKind::unwritten(error), error, &key.id, &key.subject.name);
    }
}
