//! The run ID. Every instance takes the highest that it has seen. A store that names a lower one has
//! lost an emergency stop, in a failover or by a restored backup: it is corrected, and until then it
//! is not believed.

use std::sync::Arc;

use super::{Engine, RenewError};
use crate::{
    claims::Claims,
    event::EventKind,
    id::RunId,
    protocol::Refusal,
    store::{Snapshot, StoreError},
};

/// How often a run ID is drawn. Each failure means that another emergency stop was made.
const TRIES: usize = 16;

impl<C: Claims> Engine<C> {
    /// Asks the store about a session of `run`. The answer is of the newest run that is known here, or
    /// of a newer one.
    pub(super) async fn ask_about(
        &self,
        operation: &'static str,
        run: RunId,
        answer: impl Future<Output = Result<Snapshot, StoreError>>,
    ) -> Result<Snapshot, RenewError> {
        let before = self.revocations.run();
        let snapshot = self.ask(operation, answer).await?;
        match self.hear_run(before, snapshot.run) {
            // Whatever the store will say once it is corrected.
            Err(_) if self.revocations.is_past(run) => Err(Refusal::OtherRun.into()),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(snapshot),
        }
    }

    /// Takes over the run ID of an answer of the store. `before` is what was known when it was asked: an
    /// answer that a newer stop has overtaken says nothing about the store.
    pub(super) fn hear_run(&self, before: Option<RunId>, run: RunId) -> Result<(), StoreError> {
        if before.is_some_and(|before| run < before) {
            self.restore_run_soon();
            return Err(went_back());
        }
        // The first run ID comes with the revocations of the feed, or access tokens would count before
        // those are known.
        if before.is_some() || !self.has_feed {
            self.revocations.set_run(run);
        }
        Ok(())
    }

    /// Gives a store that went back the newest run ID. Fails if the store does not take it, or never
    /// answers. Calls that come meanwhile share this one.
    pub(super) async fn restore_run(&self) -> Result<(), StoreError> {
        let Some(engine) = self.me.upgrade() else { return Err(went_back()) };
        let restored = self.restorations.join((), || engine.raise_store()).await;
        match restored {
            Some((true, _)) => Ok(()),
            Some((false, _)) | None => Err(went_back()),
        }
    }

    /// The same without waiting. If it fails, the next answer that names an older run tries again.
    pub(super) fn restore_run_soon(&self) {
        let (Some(engine), Ok(runtime)) = (self.me.upgrade(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move { engine.restore_run().await });
    }

    async fn raise_store(self: Arc<Self>) -> bool {
        let Some(newest) = self.revocations.run() else { return false };
        let raised = self.ask("raise_run_id", self.store.raise_run_id(newest)).await;
        if let Ok(run) = raised {
            self.revocations.set_run(run);
            // Revocations may be lost with it.
            self.assert_revocations();
            self.config.events.note(EventKind::RunIdRestored);
        }
        raised.is_ok()
    }

    /// Revokes every session of every realm of the store that exists now. Answers with a run ID that is
    /// newer than all of them.
    pub(crate) async fn revoke_everything(&self) -> Result<RunId, StoreError> {
        let mut known = self.revocations.run();
        for _ in 0..TRIES {
            let candidate = RunId::newer_than(known, self.now())?;
            let run = self.ask("raise_run_id", self.store.raise_run_id(candidate)).await?;
            self.revocations.set_run(run);
            if run <= candidate {
                self.config.events.note(EventKind::RunRotated);
                return Ok(run);
            }
            // The store had a newer one, of which sessions may have been opened before this call.
            known = Some(run);
        }
        Err(StoreError::unavailable("the run ID was raised too often"))
    }
}

pub(super) fn went_back() -> StoreError {
    StoreError::unavailable("the store names an older run ID than it did, and is being corrected")
}
