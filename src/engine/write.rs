//! Changes of a record: read, compute, compare and set.

use super::Engine;
use crate::{
    claims::Claims,
    store::{FeedEvent, SessionKey, SessionRecord, Snapshot, StoreError},
};

/// How often a change is tried. Each conflict means that another one was made.
const TRIES: usize = 8;

impl<C: Claims> Engine<C> {
    /// Applies `change` to a session's record, starting from `read` if the record was read before.
    ///
    /// `change` answers with whether it applies, and may run several times. Answers with the record
    /// as it then is. All tries together have the deadline of one store operation.
    pub(super) async fn write(
        &self,
        operation: &'static str,
        key: &SessionKey,
        read: Option<Snapshot>,
        event: Option<FeedEvent>,
        change: impl Fn(&mut SessionRecord) -> bool,
    ) -> Result<Snapshot, StoreError> {
        let event = event.filter(|_| self.has_feed);
        let write = async {
            let mut snapshot = match read {
                Some(read) => read,
                None => self.store.get(key).await?,
            };
            for _ in 0..TRIES {
                let mut wanted = match &snapshot.record {
                    Some(record) if !record.family.revoked => record.clone(),
                    _ => return Ok(Snapshot { applied: false, ..snapshot }),
                };
                if !change(&mut wanted) {
                    return Ok(Snapshot { applied: false, ..snapshot });
                }
                let answer = self.store.replace(key, snapshot.version, &wanted, event.as_ref()).await?;
                // A store that wrote it, lost the answer and tried again finds its own record.
                if answer.applied || answer.record.as_ref() == Some(&wanted) {
                    return Ok(Snapshot { applied: true, ..answer });
                }
                snapshot = answer;
            }
            Err(StoreError::unavailable("the record changed too often"))
        };
        let before = self.revocations.run();
        let written = self.ask(operation, write).await?;
        self.hear_run(before, written.run)?;
        Ok(written)
    }
}
