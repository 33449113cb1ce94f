//! Session stores: about ten atomic operations, and a feed of revocations.
//!
//! A store compares and writes. It does not contain the rules of the protocol. For almost every change of a record, the
//! caller reads the record and computes the change, and the store [replaces](SessionStore::replace) the record if its
//! version is still the same. There are two exceptions: the [rotation](SessionStore::advance), which a store can do in
//! one round trip, and [`revoke`](SessionStore::revoke).
//!
//! To write a store, implement [`SessionStore`], and run the `conformance` suite (a feature of this crate) against your
//! store. A [`SessionRecord`] is opaque: keep its [serialised form](SessionRecord::to_bytes).

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
/// The client library of [`RedisStore`], for settings that a URL cannot express.
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[doc(no_inline)]
pub use ::redis as redis_client;
/// The client library of [`SqliteStore`] and [`PostgresStore`], for applications that create the pool.
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
/// - Every operation is atomic: it takes effect completely or not at all, even if the caller stops waiting.
/// - No operation makes a revoked, expired or missing session live again.
/// - A session belongs to the run ID under which it was created. A session of an older run ID is missing: no operation
///   returns it, changes it, lists it, or counts it against a cap.
/// - Every write of a record changes the record's version. A version is opaque to the caller. No version is used twice
///   for one session.
/// - A store remembers the ID and the token family of a revoked session until the session's absolute timeout. So a
///   revoked session differs from a session that never existed. If there are very many revoked sessions, a store may
///   forget the oldest ones. A store may forget an expired session.
/// - A missing session is not an error: the operation returns no record, and applies nothing.
/// - A store returns records exactly as they were given, with texts of any kind. Times and durations are exact to the
///   millisecond.
/// - The work of an operation depends on the number of live sessions that the operation concerns. Revoked sessions of
///   the same subject do not add to the work.
/// - If a store does not support something ([`has_feed`](Self::has_feed), [`can_list`](Self::can_list),
///   [`keeps_values`](Self::keeps_values)), it returns [`StoreError::Unsupported`], and changes nothing.
/// - After any other error, the operation may or may not have taken effect.
///
/// The engine gives every call a deadline, so a store needs no deadlines. Implement the methods as `async fn`.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// Whether the store has a [feed](Self::feed). Default: yes. If the store has no feed, every request asks the
    /// store, and the record of a session says since when its access tokens are stale.
    fn has_feed(&self) -> bool {
        true
    }

    /// Whether the store can [list](Self::list) the sessions of a subject, revoke them together, and apply a [`Cap`].
    /// Default: yes.
    fn can_list(&self) -> bool {
        true
    }

    /// Whether the store keeps [values](Self::value) that belong to no session. Default: no. Features that need such
    /// values then fail with [`StoreError::Unsupported`].
    fn keeps_values(&self) -> bool {
        false
    }

    /// The run ID, if the store knows it without waiting. Only a store in the memory of this process does. Default:
    /// `None`.
    fn run_id_now(&self) -> Option<RunId> {
        None
    }

    /// Adds a session of `subject` with exactly this record. If `cap` requires it, revokes older sessions of the
    /// subject in the same atomic step. Returns the run ID of the new session, and the sessions that this call revoked.
    ///
    /// The cap counts the sessions that are live when the new session begins.
    ///
    /// # Errors
    /// [`CreateError::Exists`] if there is, or was, a session with this ID; [`CreateError::TooMany`] if `cap` refuses
    /// the new session.
    fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> impl Future<Output = Result<(RunId, Vec<SessionId>), CreateError>> + Send;

    /// Rotates the refresh token: applies [`SessionRecord::advance`] to the record, in one atomic step.
    ///
    /// The rotation applies if the session is live at `at`, if its generation is `from`, and if a rotation is due by
    /// the timing in the record. A rotation gives the record a new version. Of parallel calls, one applies, and all
    /// return the resulting record.
    ///
    /// Default: reads the record, and [replaces](Self::replace) it by compare-and-set. This takes two round trips or
    /// more. If your store can rotate in one round trip, implement this method.
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

    /// Reads the record.
    fn get(&self, key: &SessionKey) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Replaces the record of a session by compare-and-set. Applies if the record's version is `version`, and if the
    /// session is not revoked. If there is an `event`, appends it to the feed in the same atomic step.
    ///
    /// A conflict is not an error: the call changes nothing, and returns the current record and version, with
    /// `applied: false`. A missing or revoked session is a conflict. The caller applies its change to the returned
    /// record, and tries again.
    ///
    /// `record` has the same ID and the same start time as the stored record, and is not revoked. Everything else may
    /// differ. `event` is a [`FeedEvent::SessionStale`] of this session. A store without a feed gets no event.
    fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Revokes sessions. No operation undoes this. To revoke a session that is already revoked is not an error. Returns
    /// the sessions that this call revoked: if parallel calls revoke the same session, exactly one of them returns it.
    /// A store may revoke expired sessions, or skip them.
    ///
    /// The store appends the events of [`FeedEvent::of_revocation`] to the feed: a [`FeedEvent::Revoked`] for each
    /// session that this call revoked or, if these sessions are many, one [`FeedEvent::SubjectRevoked`] instead. A call
    /// that revoked no session needs no event.
    fn revoke(
        &self,
        what: &Revoke,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionId>, StoreError>> + Send;

    /// Makes access tokens stale, so that each of them is renewed at its next use: appends `event`, a
    /// [`FeedEvent::SessionStale`] or a [`FeedEvent::SubjectStale`], to the feed. Revokes no session. A store without a
    /// feed writes the [time into the record](SessionRecord::mark_stale) of the session. Such a store does not have to
    /// support this operation for subjects.
    fn mark_stale(&self, event: &FeedEvent) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The live sessions of a subject, oldest first.
    fn list(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<SessionRecord>, StoreError>> + Send;

    /// Raises the run ID to `to`, if `to` is higher than the store's run ID, in one atomic step. Returns the resulting
    /// run ID.
    ///
    /// If the run ID rose, every session of an older run ID is invalid at once: none of them is listed, or counts
    /// against a cap. The store also appends [`FeedEvent::Run`] to the feed. If `to` is not higher, the call changes
    /// nothing. A store without a run ID takes `to`. A session that is created at the same time belongs to the old or
    /// to the new run ID: [`create`](Self::create) returns which.
    fn raise_run_id(&self, to: RunId) -> impl Future<Output = Result<RunId, StoreError>> + Send;

    /// Reads the events from `from` on. If there is no event, waits for one for at most a second, and then returns an
    /// empty batch. The empty batch shows the caller that it has read the whole feed. The caller then asks again, from
    /// the position of the batch. If the caller stops waiting, no event is lost.
    ///
    /// An event is in the feed when the operation that caused the event returns, or soon after. The time of an event is
    /// the time that the caller passed to the operation. If the store does not know the position in `from`, it returns
    /// an error, or a batch with [`gap`](FeedBatch::gap).
    fn feed(&self, from: &FeedFrom) -> impl Future<Output = Result<FeedBatch, StoreError>> + Send;

    /// Checks the configuration of the store. The engine calls this once the store has answered. The engine reports an
    /// error as a [`StoreFailed`](crate::EventKind::StoreFailed) event of the operation `check`. The error changes
    /// nothing else.
    ///
    /// Default: checks nothing.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Reads a value that belongs to no session. From its [`Value::keep_until`] on, a value is missing. Revocations and
    /// new run IDs do not change values.
    ///
    /// Default: [`StoreError::Unsupported`].
    fn value(
        &self,
        _key: &ValueKey,
        _now: Timestamp,
    ) -> impl Future<Output = Result<ValueSnapshot, StoreError>> + Send {
        async { Err(StoreError::Unsupported("values that belong to no session")) }
    }

    /// Writes or removes a value, by compare-and-set. Applies if the version of the value is `version`. Version zero
    /// means that the value must be missing at `now`. The next version is drawn at random, so that no version is used
    /// twice for one key, even after the value was removed.
    ///
    /// A conflict is not an error: the call changes nothing, and returns the current value, and `applied: false`. If
    /// the value is missing and `version` is not zero, this is a conflict.
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

/// The SHA-256 hash of the texts, as a base64url text of 43 characters.
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
