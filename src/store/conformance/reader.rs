//! One who follows a store's feed, as every instance does.

use std::time::Duration;

use tokio::time::timeout;

use super::world::{World, ok};
use crate::store::{FeedEvent, FeedFrom, SessionStore};

/// How long to wait for an event that must come.
pub(super) const FEED_TIMEOUT: Duration = Duration::from_secs(15);

/// A reader of the feed, and what it has read.
pub(super) struct Reader {
    pub(super) from: FeedFrom,
    pub(super) seen: Vec<FeedEvent>,
}

impl Reader {
    /// A reader who starts a little before the case began, by any clock of the store.
    pub(super) fn since_the_start<S: SessionStore>(w: &World<S>) -> Self {
        Self { from: FeedFrom::Since(w.base - Duration::from_secs(60)), seen: Vec::new() }
    }

    /// A reader who starts after this place.
    pub(super) const fn after(position: String) -> Self {
        Self { from: FeedFrom::After(position), seen: Vec::new() }
    }

    /// A reader who has read everything there is; none if the store has no feed.
    pub(super) async fn at_the_end<S: SessionStore>(w: &World<S>) -> Option<Self> {
        if !w.store.has_feed() {
            return None;
        }
        let marker = w.open().await.key;
        assert!(w.revoke(&marker, w.base).await);
        let mut reader = Self::since_the_start(w);
        reader.find(w, &[FeedEvent::Revoked(marker.clone())]).await;
        reader.seen.clear();
        Some(reader)
    }

    pub(super) fn has(&self, event: &FeedEvent) -> bool {
        self.seen.contains(event)
    }

    /// Where it stands.
    pub(super) fn position(&self) -> String {
        match &self.from {
            FeedFrom::After(position) => position.clone(),
            FeedFrom::Since(_) => panic!("nothing was read yet"),
        }
    }

    /// Reads the next batch, however long that takes.
    pub(super) async fn read<S: SessionStore>(&mut self, w: &World<S>) {
        let batch = ok(w.store.feed(&self.from).await);
        // A reader who comes in the middle of a long history may be told that it has lost its start.
        assert!(!batch.gap || matches!(self.from, FeedFrom::Since(_)), "a gap after {:?}", self.from);
        self.from = FeedFrom::After(batch.position);
        self.seen.extend(batch.events);
    }

    /// Reads until it has seen all of `events`.
    pub(super) async fn find<S: SessionStore>(&mut self, w: &World<S>, events: &[FeedEvent]) {
        let reading = async {
            while !events.iter().all(|event| self.has(event)) {
                self.read(w).await;
            }
        };
        if timeout(FEED_TIMEOUT, reading).await.is_err() {
            let missing: Vec<_> = events.iter().filter(|event| !self.has(event)).collect();
            panic!("not in the feed after {FEED_TIMEOUT:?}: {missing:?}");
        }
    }
}
