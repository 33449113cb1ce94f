//! Follows the store's feed, so that what ends elsewhere ends here.

use std::{sync::Weak, time::Duration};

use super::Engine;
use crate::{
    claims::Claims,
    event::EventKind,
    store::{FeedBatch, FeedFrom},
};

/// How long to wait before asking a store again that failed.
const RETRY: Duration = Duration::from_millis(250);

/// Runs until the engine is gone.
pub(super) async fn follow<C: Claims>(engine: Weak<Engine<C>>) {
    let mut from = None;
    loop {
        let Some((store, start)) = engine.upgrade().map(|engine| (engine.store.clone(), engine.feed_start()))
        else {
            return;
        };
        if !store.capabilities().feed {
            return;
        }
        let here = from.take().unwrap_or(start);
        let batch = store.feed(&here).await;
        let Some(engine) = engine.upgrade() else { return };
        from = match batch {
            Ok(batch) => {
                engine.heard(&batch);
                Some(FeedFrom::After(batch.position))
            }
            Err(_) => {
                engine.events.note(EventKind::StoreUnavailable { operation: "feed" });
                drop(engine);
                tokio::time::sleep(RETRY).await;
                Some(here)
            }
        };
    }
}

impl<C: Claims> Engine<C> {
    /// Whatever is older can no longer matter.
    fn feed_start(&self) -> FeedFrom {
        FeedFrom::Since(self.now() - self.revocations.keep())
    }

    fn heard(&self, batch: &FeedBatch) {
        let now = self.now();
        if batch.gap {
            self.events.note(EventKind::FeedGap);
            self.revocations.distrust_until(now);
        }
        self.revocations.apply(batch, now);
    }
}
