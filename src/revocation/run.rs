//! The run ID. Every instance uses the highest run ID that it has seen. If the store returns a lower run ID, the store
//! has lost an emergency stop, in a failover or by a restored backup. This instance uses no answers of the store until
//! it has corrected the store.

use std::sync::Arc;

use super::{Revocation, StoreAccess};
use crate::{event::EventKind, id::RunId, store::StoreError};

/// How many times a run ID is drawn. If a try fails, another emergency stop was made in the meantime.
const TRIES: usize = 16;

impl Revocation {
    /// Writes the newest known run ID to a store that has an older one. Parallel calls share one store call.
    ///
    /// # Errors
    /// The store did not take the run ID.
    pub(crate) async fn restore_run_id(&self) -> Result<(), StoreError> {
        let Some(revocation) = self.me.upgrade() else { return Err(older_run_id_error()) };
        let restored = self.restorations.join((), || revocation.raise_store());
        match self.backend.within_renewal_deadline(restored).await.flatten() {
            Some((true, _)) => Ok(()),
            Some((false, _)) | None => Err(older_run_id_error()),
        }
    }

    /// Starts [`restore_run_id`](Self::restore_run_id) in the background. If it fails, the next answer with an older
    /// run ID starts it again.
    pub(crate) fn restore_run_soon(&self) {
        if self.access != StoreAccess::Full {
            return;
        }
        let (Some(revocation), Ok(runtime)) = (self.me.upgrade(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move { revocation.restore_run_id().await });
    }

    async fn raise_store(self: Arc<Self>) -> bool {
        let Some(newest) = self.denylist.run() else { return false };
        let raised = self.backend.ask("raise_run_id", self.backend.store.raise_run_id(newest)).await;
        if let Ok(run) = raised {
            self.denylist.set_run(run);
            // The store may have lost revocations, too.
            self.assert_revocations();
            self.backend.events.note(EventKind::RunIdRestored);
        }
        raised.is_ok()
    }

    /// Revokes every session of every realm of the store. Returns the new run ID.
    pub(crate) async fn revoke_everything(&self) -> Result<RunId, StoreError> {
        let mut known = self.denylist.run();
        for _ in 0..TRIES {
            let candidate = RunId::newer_than(known, self.now())?;
            let raise = self.backend.store.raise_run_id(candidate);
            let run = self.backend.ask_at_length("raise_run_id", raise).await?;
            self.denylist.set_run(run);
            if run <= candidate {
                self.backend.events.note(EventKind::EverythingRevoked);
                return Ok(run);
            }
            // The store had a newer run ID. Sessions of this run ID may have been created before this call, so try
            // again.
            known = Some(run);
        }
        Err(StoreError::unavailable("the run ID was raised too often"))
    }
}

pub(crate) fn older_run_id_error() -> StoreError {
    StoreError::unavailable("the store returned an older run ID than before; it is being corrected")
}
