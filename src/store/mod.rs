//! Where sessions are kept: a handful of atomic operations and a feed of revocations.
//!
//! A store compares and writes; it holds no rules. Every change of a record but one is a
//! [`replace`](SessionStore::replace): the caller reads, computes, and the store compares a version.
//! The one exception is the [rotation](SessionStore::advance), which a store can do in one round trip.
//!
//! To write a store, implement [`SessionStore`] and run the `conformance` suite (a feature of this crate) against it.
//! A [`SessionRecord`] is opaque: keep its [serialised form](SessionRecord::to_bytes).

mod attached;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod dynamic;
mod error;
mod feed;
#[cfg(feature = "memcached")]
mod memcached;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod value;

pub(crate) use self::attached::Attached;
pub(crate) use self::dynamic::DynStore;
#[cfg(feature = "memcached")]
#[cfg_attr(docsrs, doc(cfg(feature = "memcached")))]
pub use self::memcached::MemcachedStore;
use self::record::NO_CLAIMS;
pub(crate) use self::record::Reauthentication;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::RedisStore;
pub use self::{
    error::{CreateError, StoreError},
    feed::{FeedBatch, FeedEvent, FeedFrom},
    memory::MemoryStore,
    record::{Cap, Revoke, SessionKey, SessionRecord, Snapshot, Subject},
    value::{Value, ValueKey, ValueSnapshot},
};

#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use self::postgres::PostgresStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use self::sqlite::SqliteStore;
/// The client of [`RedisStore`], for settings that do not fit into a URL.
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[doc(no_inline)]
pub use ::redis as redis_client;
/// The client of [`SqliteStore`] and [`PostgresStore`], for pools of your own.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
#[doc(no_inline)]
pub use sqlx;

use std::fmt;

use crate::{
    id::{RunId, SessionId},
    time::Timestamp,
};

/// A store of session records.
///
/// # Contract
/// - Every operation is atomic, and takes effect even if its caller stops waiting, or not at all.
/// - No operation revives a revoked, expired or missing session.
/// - Sessions belong to the run in which they were created. One of an older run is missing: it is
///   not answered with, changed, listed, or counted against a cap.
/// - Every write of a record changes its version. A version is opaque to the caller, and is never
///   used twice for one session.
/// - A revoked session's id and family are remembered until its absolute limit, so that it is told
///   from one that never was. A store may forget the oldest of very many. An expired session may be
///   forgotten.
/// - A missing session is no error: there is no record, nothing is applied.
/// - Records, texts of any kind among them, come back exactly as they were given; times and
///   durations to the millisecond.
/// - The work of an operation depends on the live sessions it is about. Revoked ones of the same
///   subject do not add to it.
/// - What a store cannot do ([`has_feed`](Self::has_feed), [`can_list`](Self::can_list),
///   [`keeps_values`](Self::keeps_values)) it answers with [`StoreError::Unsupported`], and does none of it.
/// - Errors mean that nothing is known: the operation may or may not have taken effect.
///
/// The engine gives every call a deadline; a store needs none of its own. Implement the methods as
/// `async fn`.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// Whether it has a [feed](Self::feed). Default: yes. Without one, every request asks the store, and stale marks
    /// are kept in the records.
    fn has_feed(&self) -> bool {
        true
    }

    /// Whether it can [list](Self::list) a subject's sessions, revoke them together, and keep a [`Cap`]. Default: yes.
    fn can_list(&self) -> bool {
        true
    }

    /// Whether it keeps [values](Self::value) that belong to no session. Default: no. Features that need them then
    /// fail with [`StoreError::Unsupported`].
    fn keeps_values(&self) -> bool {
        false
    }

    /// The run ID, if it can be told without waiting: only for stores in this process.
    fn run_id_now(&self) -> Option<RunId> {
        None
    }

    /// Adds a session of `subject`, with this record as it is. Returns the run it belongs to,
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

    /// Rotates the refresh token: [`SessionRecord::advance`], in one atomic step.
    ///
    /// It applies if the session is live at `at`, is at the generation `from`, and a rotation is due by the timing
    /// in its own record. Then the version is new. Winner and loser get the record as it then is.
    ///
    /// Default: reads the record, and [replaces](Self::replace) it by compare-and-set. That takes two round trips
    /// or more; a store that can do it in one should.
    fn advance(
        &self,
        key: &SessionKey,
        from: u64,
        at: Timestamp,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send {
        async move {
            let mut read = self.get(key).await?;
            loop {
                let Some(mut rotated) = read.record.clone() else { return Ok(read) };
                if !rotated.advance(from, at) {
                    return Ok(Snapshot { applied: false, ..read });
                }
                read = self.replace(key, read.version, &rotated, None).await?;
                if read.applied {
                    return Ok(read);
                }
            }
        }
    }

    /// The record as it is.
    fn get(&self, key: &SessionKey) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Replaces the record of a session whose version is `version` and that is not revoked, by compare-and-set.
    /// `event`, if there is one, is appended to the feed in the same atomic step.
    ///
    /// A conflict is no error: it changes nothing, and returns the record and the version as
    /// they are, and `applied: false`. A missing or revoked session is a conflict. The caller applies
    /// its change to the record in the answer, and tries again.
    ///
    /// `record` differs from what the store holds in anything but its ID, when it began, and whether it is revoked.
    /// `event` is a [`FeedEvent::SessionStale`] of this session; a store without a feed gets none.
    fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Revokes sessions, for good; revoking a revoked one is no error. Returns those that this
    /// call revoked: of calls that race to revoke a session, exactly one names it. Whether an expired
    /// session can still be revoked is up to the store.
    ///
    /// The feed has the [`FeedEvent::of_revocation`] of what this call revoked: a
    /// [`FeedEvent::Revoked`] each, or one [`FeedEvent::SubjectRevoked`] in their place where there
    /// are many. A call that revoked none needs no event.
    fn revoke(
        &self,
        what: &Revoke,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionId>, StoreError>> + Send;

    /// Has access tokens renewed at their next use: appends a [`FeedEvent::SessionStale`] or a
    /// [`FeedEvent::SubjectStale`] to the feed. Ends no session. A store without a feed keeps the
    /// [mark in the record](SessionRecord::mark_stale), and may not support the marking of subjects.
    fn mark_stale(&self, event: &FeedEvent) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The live sessions of a subject, oldest first.
    fn list(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionRecord>, StoreError>> + Send;

    /// Raises the run ID: it becomes the larger of the store's own and `to`, in one atomic step.
    /// Returns what it then is.
    ///
    /// If it rose, every session of an older run is revoked at once (none is listed or counts any
    /// more), and [`FeedEvent::Run`] is in the feed. A run ID that is not higher changes nothing. A
    /// store that has none takes `to`. A session that is opened meanwhile belongs to one run or the
    /// other, and [`create`](Self::create) says to which.
    fn raise_run_id(&self, to: RunId) -> impl Future<Output = Result<RunId, StoreError>> + Send;

    /// The revocations and stale marks since `from`. Waits until there is one, or for a second at
    /// most and answers with none, which tells the caller that it does not lag. The caller asks
    /// again from where the batch ends. Stopping to wait loses nothing.
    ///
    /// An event is in the feed by the time the operation that caused it has returned, or soon
    /// after, and carries the time that the operation was given. A reader who comes with a place
    /// that the store does not know gets an error or is told of a gap.
    fn feed(&self, from: &FeedFrom) -> impl Future<Output = Result<FeedBatch, StoreError>> + Send;

    /// Checks how the store is set up, once it has answered. An error is reported as a
    /// [`StoreFailed`](crate::EventKind::StoreFailed) of the operation `check`, and changes nothing else.
    ///
    /// Default: nothing to check.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// A value that belongs to no session. It is missing from its [`Value::keep_until`] on. Revocations and run IDs
    /// do not touch it.
    ///
    /// Default: [`StoreError::Unsupported`].
    fn value(
        &self,
        _key: &ValueKey,
        _now: Timestamp,
    ) -> impl Future<Output = Result<ValueSnapshot, StoreError>> + Send {
        async { Err(StoreError::Unsupported("values that belong to no session")) }
    }

    /// Writes or removes a value whose version is `version` (zero: that is missing at `now`), by compare-and-set. The
    /// next version is drawn at random, so that none is used twice for one key, also after the value was removed.
    ///
    /// A conflict is no error: it changes nothing, and returns what there is, and `applied: false`. So does a version
    /// that is not zero where the value is missing.
    ///
    /// Default: [`StoreError::Unsupported`].
    fn replace_value(
        &self,
        _key: &ValueKey,
        _version: u64,
        _to: Option<&Value>,
        _now: Timestamp,
    ) -> impl Future<Output = Result<ValueSnapshot, StoreError>> + Send {
        async { Err(StoreError::Unsupported("values that belong to no session")) }
    }
}

/// The texts as one word of 43 characters.
#[cfg(any(feature = "memcached", feature = "redis"))]
fn hash(parts: &[&[u8]]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use sha2::{Digest as _, Sha256};

    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}
