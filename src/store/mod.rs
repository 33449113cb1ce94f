//! Where sessions are kept: a handful of atomic operations and a feed of revocations.
//!
//! A store compares and writes; it judges nothing. Conditions come as data ([`Advance`]), and what
//! an operation means for a record is what the methods of [`Family`] do to it. Anyone can write a
//! store: implement [`SessionStore`] and run the `conformance` suite (a feature of this crate)
//! against it.
//!
//! [`Family`]: crate::protocol::Family

#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod dynamic;
mod error;
mod feed;
#[cfg(feature = "memcached")]
#[cfg_attr(docsrs, doc(cfg(feature = "memcached")))]
pub mod memcached;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

pub(crate) use self::dynamic::DynStore;
#[cfg(feature = "memcached")]
#[cfg_attr(docsrs, doc(cfg(feature = "memcached")))]
pub use self::memcached::MemcachedStore;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::RedisStore;
pub use self::{
    error::{CreateError, StoreError},
    feed::{FeedBatch, FeedEvent, FeedFrom, FeedPosition},
    memory::MemoryStore,
    record::{Cap, Overflow, Proof, Revoke, SessionKey, SessionRecord, Snapshot, StaleScope, Subject},
};

#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use self::postgres::PostgresStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use self::sqlite::SqliteStore;
/// The client of [`SqliteStore`] and [`PostgresStore`]: for pools of one's own, and its features.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
#[doc(no_inline)]
pub use sqlx;

use std::fmt;

use crate::{
    id::{RunId, SessionId},
    protocol::Advance,
    time::Timestamp,
};

/// What a store can do beyond the operations every store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It has a [feed](SessionStore::feed). Without one, every request asks the store, and stale
    /// marks are kept in the records.
    pub feed: bool,
    /// It can [list](SessionStore::list) a subject's sessions, revoke them together, and keep a
    /// [`Cap`].
    pub listing: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Self = Self { feed: true, listing: true };
    /// Neither a feed nor listing.
    pub const NONE: Self = Self { feed: false, listing: false };
}

/// A store of session records.
///
/// # Contract
/// - Every operation is atomic, and takes effect even if its caller stops waiting, or not at all.
/// - No operation revives a revoked, expired or missing session.
/// - A revoked session's record is kept (its claims and its origin need not be) until its absolute
///   limit, so that it is told from one that never was. An expired one may be forgotten.
/// - A missing session is no error: there is no record, nothing is applied.
/// - Records, texts of any kind among them, come back exactly as they were given; times and
///   durations to the millisecond.
/// - What a store cannot do by its [`Capabilities`] it answers with [`StoreError::Unsupported`],
///   and does none of it.
/// - Errors mean that nothing is known: the operation may or may not have taken effect.
///
/// The engine gives every call a deadline; a store needs none of its own. Implement the methods as
/// `async fn`.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can do. Default: everything.
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    /// The run ID, if it can be told without waiting: only for stores in this process.
    fn run_id_now(&self) -> Option<RunId> {
        None
    }

    /// Adds a session of `subject`, with this record as it is. Answers with the run it belongs to,
    /// and with the sessions that `cap` ended for it, atomically.
    ///
    /// The cap counts the sessions that are live when the new one begins.
    ///
    /// # Errors
    /// [`CreateError::Exists`] if there is, or was, a session with this id;
    /// [`CreateError::TooMany`] if `cap` says to refuse.
    fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> impl Future<Output = Result<(RunId, Vec<SessionId>), CreateError>> + Send;

    /// [`Family::advance`](crate::protocol::Family::advance), by compare-and-set. Winner and loser
    /// get the record as it then is.
    fn advance(
        &self,
        key: &SessionKey,
        advance: &Advance,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// The record as it is.
    fn get(&self, key: &SessionKey) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// [`Family::confirm`](crate::protocol::Family::confirm).
    fn confirm(
        &self,
        key: &SessionKey,
        generation: u64,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// [`Family::touch`](crate::protocol::Family::touch).
    fn touch(&self, key: &SessionKey, at: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// [`Family::fast_forward`](crate::protocol::Family::fast_forward), by compare-and-set.
    fn fast_forward(
        &self,
        key: &SessionKey,
        to: u64,
        at: Timestamp,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Records a later proof of sign-in in the place of the one before, if the session is live at
    /// the proof's time. Answers with the record.
    fn record_proof(
        &self,
        key: &SessionKey,
        proof: &Proof,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Replaces the claims (JSON) that the next tokens are minted from, if the session is live, and
    /// marks it stale, in the record (never back in time) and in the feed. Answers with the record.
    fn put_claims(
        &self,
        key: &SessionKey,
        claims: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Ends sessions, finally; ending what has ended is no error. Answers with those that this
    /// call ended: of calls that race to end a session, exactly one names it. Whether an expired
    /// session can still be ended is up to the store.
    fn revoke(
        &self,
        what: &Revoke,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionId>, StoreError>> + Send;

    /// Has every access token of the scope that was minted before renewed at its next use. Ends no
    /// session. A store without a feed keeps the mark in the record (`stale_since`), and may not
    /// support the marking of subjects.
    fn mark_stale(
        &self,
        scope: &StaleScope,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The live sessions of a subject, oldest first.
    fn list(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionRecord>, StoreError>> + Send;

    /// The run ID.
    fn run_id(&self) -> impl Future<Output = Result<RunId, StoreError>> + Send;

    /// Draws a new run ID, which ends every session at once: none of them is listed or counts
    /// against a cap any more. Answers with it. A session that is opened meanwhile belongs to one
    /// run or the other, and [`create`](Self::create) says to which.
    fn rotate_run_id(&self) -> impl Future<Output = Result<RunId, StoreError>> + Send;

    /// The revocations and stale marks since `from`. Waits until there is one, or for a second at
    /// most and answers with none, which tells the caller that it does not lag. The caller asks
    /// again from where the batch ends. Stopping to wait loses nothing.
    ///
    /// An event is in the feed by the time the operation that caused it has returned, or soon
    /// after, and carries the time that the operation was given. A reader who comes with a place
    /// that the store does not know gets an error or is told of a gap.
    fn feed(&self, from: &FeedFrom) -> impl Future<Output = Result<FeedBatch, StoreError>> + Send;
}
