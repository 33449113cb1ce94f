//! Claims that follow the user: what the application says of them now.

use std::sync::Arc;

use super::{Engine, RenewError};
use crate::{
    claims::{Claims, Reload},
    event::EventKind,
    protocol::Refusal,
    store::{Revoke, SessionKey, SessionRecord},
    token::write_claims,
};

impl<C: Claims> Engine<C> {
    /// The claims to serve a session with, which `record` then has too. Without a hook they are the
    /// record's own.
    pub(super) async fn reload(
        &self,
        key: &SessionKey,
        record: &mut Arc<SessionRecord>,
    ) -> Result<C, RenewError> {
        let kept = |record: &SessionRecord| serde_json::from_str(&record.claims);
        let unreadable = |error: serde_json::Error| {
            self.config.events.failed_of(EventKind::ClaimsUnreadable, &error, &key.id, &key.subject.name);
            RenewError::Refused(Refusal::Claims)
        };
        let Some(reloader) = &self.config.reloader else { return kept(record).map_err(unreadable) };
        let answer = self.ask_hook(reloader, &key.subject.name, kept(record).ok()).await;
        match answer {
            Ok(Reload::Keep) => kept(record).map_err(unreadable),
            Ok(Reload::Replace(claims)) => {
                // As the next request will see them. The hook may give others when it is asked again.
                let (json, claims) = write_claims(&claims).map_err(|error| {
                    self.report_unwritten(&error, key);
                    RenewError::Unavailable
                })?;
                Arc::make_mut(record).claims = json.into();
                Ok(claims)
            }
            Ok(Reload::Revoke { reason }) => {
                self.config.events.of(EventKind::RevokedByApplication { reason }, &key.id, &key.subject.name);
                // Refused, whether or not the store learns of it: the next renewal asks again.
                let _not_refused_for_that = self.revoke(Revoke::Session(key.clone())).await;
                Err(Refusal::Application.into())
            }
            // Whether the user may go on is not known: never a refusal.
            Err(error) => {
                self.config.events.failed_of(EventKind::ReloadFailed, &*error, &key.id, &key.subject.name);
                Err(RenewError::Unavailable)
            }
        }
    }
}
