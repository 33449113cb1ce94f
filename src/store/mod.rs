//! Session stores: about ten atomic operations, and a feed of revocations.
//!
//! A store compares and writes; it holds no rules. Almost every change of a record is a
//! [`replace`](SessionStore::replace): the caller reads and computes, and the store compares a version. The exceptions
//! are the [rotation](SessionStore::advance), which a store can do in one round trip, and
//! [`revoke`](SessionStore::revoke).
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
pub(crate) use self::dynamic::{DynStore, SharedSnapshot};
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
/// - Every operation is atomic: it takes effect completely or not at all, also if its caller stops waiting.
/// - No operation revives a revoked, expired or missing session.
/// - A session belongs to the run ID under which it was created. A session of an older run ID is missing: it is
///   not returned, changed, listed, or counted against a cap.
/// - Every write of a record changes its version. A version is opaque to the caller, and is never
///   used twice for one session.
/// - The ID and the token family of a revoked session are remembered until its absolute timeout, so that it differs
///   from a session that never existed. If there are very many, a store may forget the oldest ones. An expired session
///   may be forgotten.
/// - A missing session is no error: there is no record, nothing is applied.
/// - Records, texts of any kind among them, come back exactly as they were given; times and
///   durations to the millisecond.
/// - The work of an operation depends on the live sessions it is about. Revoked ones of the same
///   subject do not add to it.
/// - If a store cannot do something ([`has_feed`](Self::has_feed), [`can_list`](Self::can_list),
///   [`keeps_values`](Self::keeps_values)), it returns [`StoreError::Unsupported`], and changes nothing.
/// - After any other error, the operation may or may not have taken effect.
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

    /// The run ID, if it is known without waiting: only for stores in this process.
    fn run_id_now(&self) -> Option<RunId> {
        None
    }

    /// Adds a session of `subject`, with this record as it is. In the same atomic step, it revokes older sessions if
    /// `cap` says so. Returns the run ID of the new session, and the sessions that it revoked.
    ///
    /// The cap counts the sessions that are live when the new one begins.
    ///
    /// # Errors
    /// [`CreateError::Exists`] if there is, or was, a session with this ID;
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
    /// in its own record. Then the version is new. Of parallel calls, one applies, and all get the resulting record.
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
    /// A conflict is no error: it changes nothing, and returns the current record and version, and `applied: false`. A
    /// missing or revoked session is a conflict. The caller applies its change to the returned record, and tries again.
    ///
    /// `record` has the same ID and the same start time as the stored record, and is not revoked. Everything else may
    /// differ. `event` is a [`FeedEvent::SessionStale`] of this session; a store without a feed gets none.
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
    /// The events of [`FeedEvent::of_revocation`] are appended to the feed: a [`FeedEvent::Revoked`] for each session
    /// that this call revoked or, if they are many, one [`FeedEvent::SubjectRevoked`] instead. A call that revoked none
    /// needs no event.
    fn revoke(
        &self,
        what: &Revoke,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionId>, StoreError>> + Send;

    /// Makes access tokens stale, so that they are renewed at their next use: appends a [`FeedEvent::SessionStale`] or
    /// a [`FeedEvent::SubjectStale`] to the feed. Revokes no session. A store without a feed writes the [time into the
    /// record](SessionRecord::mark_stale), and need not support this for subjects.
    fn mark_stale(&self, event: &FeedEvent) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The live sessions of a subject, oldest first.
    fn list(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionRecord>, StoreError>> + Send;

    /// Raises the run ID: it becomes the larger of the store's own and `to`, in one atomic step.
    /// Returns the resulting run ID.
    ///
    /// If it rose, every session of an older run ID is revoked at once (none is listed or counts any more), and
    /// [`FeedEvent::Run`] is in the feed. A run ID that is not higher changes nothing. A store that has none takes
    /// `to`. A session that is opened at the same time belongs to the old or to the new run ID.
    /// [`create`](Self::create) returns which one.
    fn raise_run_id(&self, to: RunId) -> impl Future<Output = Result<RunId, StoreError>> + Send;

    /// The events since `from`. Waits until there is one, but at most for a second. Then it returns an empty batch, so
    /// that the caller knows that it does not lag. The caller asks again from where the batch ends. If the caller stops
    /// waiting, no event is lost.
    ///
    /// An event is in the feed when the operation that caused it returns, or soon after. It has the time that was
    /// passed to the operation. If the store does not know the position in `from`, it returns an error, or a batch with
    /// [`gap`](FeedBatch::gap).
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

    /// Writes or removes a value whose version is `version`, by compare-and-set. Zero means that the value must be
    /// missing at `now`. The next version is drawn at random, so that none is used twice for one key, also after the
    /// value was removed.
    ///
    /// A conflict is no error: it changes nothing, and returns the current value, and `applied: false`. If the value is
    /// missing and the version is not zero, that is a conflict.
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
