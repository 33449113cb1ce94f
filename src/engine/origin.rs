//! The client's origin, by the application's hooks: for example its network. This is not the HTTP header `Origin`.

use std::sync::Arc;

use super::{AuthenticatedSession, Engine};
use crate::{
    event::EventKind, origin::OriginVerdict, protocol::Refusal, request::RequestHead,
    revocation::SessionError, store::SessionRecord,
};

impl<C> Engine<C> {
    /// The origin of the client that sent a request, for the session's record.
    pub(crate) fn origin_of(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        self.config.events.call("origin", || self.config.client_origins.of(request)).flatten()
    }

    /// The origin of the client that sent a request, if origins are compared.
    pub(crate) fn origin_to_compare(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        if !self.config.client_origins.are_compared() {
            return None;
        }
        self.origin_of(request)
    }

    /// Compares a client's origin with those in the record. `None` if the hook panicked: then it is unknown whether
    /// the request may be served.
    pub(super) fn compare_origin(
        &self,
        record: &SessionRecord,
        client_origin: Option<&str>,
    ) -> Option<OriginVerdict> {
        self.config.events.call("compare_origin", || self.config.client_origins.judge(record, client_origin))
    }

    /// Calls `compare_origin` and applies its verdict. Called for each of the requests that share a renewal.
    pub(super) fn check_origin(
        &self,
        session: &mut AuthenticatedSession<C>,
        record: &SessionRecord,
        client_origin: Option<&str>,
    ) -> Result<(), SessionError> {
        let verdict = self.compare_origin(record, client_origin).ok_or(SessionError::Unavailable)?;
        if verdict != OriginVerdict::Ignore {
            let key = &session.view().key;
            self.config.events.of(EventKind::OriginChanged(verdict), &key.id, &key.subject.name);
        }
        match verdict {
            OriginVerdict::Ignore | OriginVerdict::Report => Ok(()),
            OriginVerdict::StepUp => {
                session.updated_view = Some(Arc::new(session.view().requiring_step_up()));
                Ok(())
            }
            OriginVerdict::Refuse => Err(Refusal::OriginRefused.into()),
        }
    }
}
