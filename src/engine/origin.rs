//! The client's origin, by the application's hooks: for example its network. This is not the HTTP header `Origin`.

use std::sync::Arc;

use super::Engine;
use crate::{origin::OriginVerdict, request::RequestHead, store::SessionRecord};

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
}
