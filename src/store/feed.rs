//! How revocations reach every instance.

use crate::{
    id::RunId,
    store::{SessionKey, Subject},
    time::Timestamp,
};

/// Something that every instance must know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedEvent {
    /// A session has ended. Revocations of a subject come as the sessions they ended.
    Revoked(SessionKey),
    /// One session's access tokens minted before this are to be renewed.
    SessionStale(SessionKey, Timestamp),
    /// A subject's access tokens minted before this are to be renewed.
    SubjectStale(Subject, Timestamp),
    /// There is a new run, so every session has ended.
    Run(RunId),
}

/// A place in a store's feed, in the store's own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPosition(pub String);

/// Where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedFrom {
    /// From the first event at or after this time.
    Since(Timestamp),
    /// From the first event after this place.
    After(FeedPosition),
}

/// A piece of a store's feed.
#[derive(Clone, Debug)]
pub struct FeedBatch {
    /// The events, oldest first. Repeating one does no harm.
    pub events: Vec<FeedEvent>,
    /// Where to read on.
    pub position: FeedPosition,
    /// The store's run ID.
    pub run: RunId,
    /// Events between where the reader was and this batch are lost: whatever it knows is
    /// incomplete for one access token's lifetime.
    pub gap: bool,
}
