//! Where requests come from, by the application's hooks.

use std::sync::Arc;

use super::Engine;
use crate::{origin::OriginVerdict, request::RequestHead, store::SessionRecord};

impl<C> Engine<C> {
    /// Where a request comes from, for the record.
    pub(crate) fn origin_of(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        self.config.events.call("origin", || self.config.origins.of(request)).flatten()
    }

    /// The same, if it will be compared.
    pub(crate) fn origin_to_compare(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        if !self.config.origins.are_compared() {
            return None;
        }
        self.origin_of(request)
    }

    /// None if the hook panicked: then it is not known whether the request may be served.
    pub(super) fn compare_origin(
        &self,
        record: &SessionRecord,
        client_origin: Option<&str>,
    ) -> Option<OriginVerdict> {
        self.config.events.call("compare_origin", || self.config.origins.judge(record, client_origin))
    }
}
