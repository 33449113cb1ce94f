//! Claims are written only if they can be read: as JSON, as the application's type, from a cookie.

use std::sync::Arc;

use super::Engine;
use crate::{
    claims::Claims,
    event::EventKind,
    store::SessionKey,
    time::Timestamp,
    token::{MintError, write_short_claims},
};

impl<C: Claims> Engine<C> {
    /// The claims as JSON, and as the next request will read them from it. Checked before anything is
    /// written: once they are in the store, no request could be served if they cannot be read, and no
    /// token could be minted if they do not fit.
    pub(super) fn writable_claims(
        &self,
        key: &SessionKey,
        claims: &C,
        methods: &[String],
        proof_methods: &[String],
        now: Timestamp,
    ) -> Result<(Arc<str>, C), MintError> {
        let (json, parsed) = write_short_claims(claims)?;
        self.measure(key, &json, methods, proof_methods, now)?;
        self.measure_readable(&parsed)?;
        Ok((json.into(), parsed))
    }

    /// Reports that no token or cookie was written for a session.
    pub(super) fn report_unwritten(&self, error: &MintError, key: &SessionKey) {
        self.config.events.failed_of(EventKind::unwritten(error), error, &key.id, &key.subject.name);
    }
}
