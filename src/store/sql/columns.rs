//! Converts a session record to columns, and columns to a session record.

use std::time::Duration;

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::error::{corrupt, unavailable};
use crate::{
    id::{RunId, SessionId},
    protocol::{Family, RotationTiming},
    store::{SessionRecord, StoreError},
    time::Timestamp,
};

/// Later times and longer durations are stored as this value, in milliseconds (the year 146 million). So the database
/// can add two values without an overflow.
const FOREVER: i64 = i64::MAX / 2;

/// The columns of a record, in the order in which [`Columns::read`] reads the columns.
#[cfg(feature = "sqlite")]
macro_rules! column_names {
    () => {
        "id, generation, confirmed_at, created_at, offered_at, idle_timeout, idle_deadline, \
         absolute_deadline, rotation_interval, timing, revoked, claims, stale_since, methods, proof, \
         origin, persistent, attached"
    };
}
/// Binds all fields of [`Columns`], in the order of `column_names!`.
macro_rules! bind_columns {
    ($query:expr, $columns:expr) => {{
        let columns = $columns;
        $query
            .bind(columns.id)
            .bind(columns.generation)
            .bind(columns.confirmed_at)
            .bind(columns.created_at)
            .bind(columns.offered_at)
            .bind(columns.idle_timeout)
            .bind(columns.idle_deadline)
            .bind(columns.absolute_deadline)
            .bind(columns.rotation_interval)
            .bind(columns.timing)
            .bind(columns.revoked)
            .bind(columns.claims)
            .bind(columns.stale_since)
            .bind(columns.methods)
            .bind(columns.proof)
            .bind(columns.origin)
            .bind(columns.persistent)
            .bind(columns.attached)
    }};
}
pub(in crate::store) use bind_columns;
#[cfg(feature = "sqlite")]
pub(in crate::store) use column_names;

/// A record as the database stores it.
#[derive(Clone, Debug)]
pub(in crate::store) struct Columns {
    pub(in crate::store) id: Vec<u8>,
    pub(in crate::store) generation: i64,
    pub(in crate::store) confirmed_at: Option<i64>,
    pub(in crate::store) created_at: i64,
    pub(in crate::store) offered_at: i64,
    pub(in crate::store) idle_timeout: i64,
    pub(in crate::store) idle_deadline: i64,
    pub(in crate::store) absolute_deadline: i64,
    /// A separate column, because the rotation in PostgreSQL's `functions.sql` compares the rotation interval.
    pub(in crate::store) rotation_interval: i64,
    /// The other durations of the timing, in the format of [`timing_to`]. `None` in records of the first version.
    pub(in crate::store) timing: Option<Vec<u8>>,
    pub(in crate::store) revoked: bool,
    pub(in crate::store) claims: Vec<u8>,
    pub(in crate::store) stale_since: Option<i64>,
    /// JSON. `None` if there are no methods.
    pub(in crate::store) methods: Option<Vec<u8>>,
    /// JSON. `None` if the record has no re-authentication.
    pub(in crate::store) proof: Option<Vec<u8>>,
    pub(in crate::store) origin: Option<Vec<u8>>,
    pub(in crate::store) persistent: bool,
    /// JSON. `None` if nothing is attached.
    pub(in crate::store) attached: Option<Vec<u8>>,
}

/// Converts a point in time for the database: milliseconds since 1970.
pub(in crate::store) fn time_to(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).map_or(FOREVER, |millis| millis.min(FOREVER))
}

pub(in crate::store) fn time_from(millis: i64) -> Result<Timestamp, StoreError> {
    u64::try_from(millis).map(Timestamp::from_millis).map_err(|_| corrupt("a time before 1970"))
}

fn duration_to(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(FOREVER, |millis| millis.min(FOREVER))
}

fn duration_from(millis: i64) -> Result<Duration, StoreError> {
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| corrupt("a duration below zero"))
}

/// Converts four durations for the database: milliseconds, separated by commas, in the order of [`timing_from`].
fn timing_to(timing: &RotationTiming) -> Vec<u8> {
    let RotationTiming { grace, write_window, crash_window, late_body, rotation_interval: _ } = timing;
    let millis = [grace, write_window, crash_window, late_body].map(|time| duration_to(*time).to_string());
    millis.join(",").into_bytes()
}

fn timing_from(text: Option<&[u8]>, rotation_interval: Duration) -> Result<RotationTiming, StoreError> {
    let Some(text) = text else { return Ok(RotationTiming { rotation_interval, ..Default::default() }) };
    let unreadable = || corrupt("a timing that is not four durations");
    let text = std::str::from_utf8(text).map_err(|_| unreadable())?;
    let millis: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
    let Ok([grace, write_window, crash_window, late_body]) =
        <[u64; 4]>::try_from(millis.map_err(|_| unreadable())?).map(|all| all.map(Duration::from_millis))
    else {
        return Err(unreadable());
    };
    Ok(RotationTiming { grace, write_window, crash_window, late_body, rotation_interval })
}

/// Converts a version for the database. A version that is too large for a row becomes -1, which matches no row.
pub(in crate::store) fn version_to(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(-1)
}

pub(in crate::store) fn version_from(version: Option<i64>) -> Result<u64, StoreError> {
    u64::try_from(version.unwrap_or_default()).map_err(|_| corrupt("a version below zero"))
}

/// Converts a run ID for the database: the same 64 bits.
pub(in crate::store) const fn run_to(run: RunId) -> i64 {
    run.as_u64().cast_signed()
}

pub(in crate::store) fn run_from(number: i64) -> Result<RunId, StoreError> {
    RunId::from_u64(number.cast_unsigned()).ok_or_else(|| corrupt("a run ID of zero"))
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(StoreError::corrupt)
}

fn text(bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|_| corrupt("a text that is not UTF-8"))
}

/// Parses JSON. The error contains no part of the JSON.
fn parsed<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|_| corrupt("a column that is not the JSON it should be"))
}

impl Columns {
    pub(in crate::store) fn of(record: &SessionRecord) -> Result<Self, StoreError> {
        let family = &record.family;
        let generation = i64::try_from(family.generation).map_err(|_| corrupt("a generation beyond 2^63"))?;
        Ok(Self {
            id: record.id.as_bytes().to_vec(),
            generation,
            confirmed_at: family.confirmed_at.map(time_to),
            created_at: time_to(family.created_at),
            offered_at: time_to(family.handed_out_at),
            idle_timeout: duration_to(family.idle_timeout),
            idle_deadline: time_to(family.idle_deadline),
            absolute_deadline: time_to(family.absolute_deadline),
            rotation_interval: duration_to(family.timing.rotation_interval),
            timing: Some(timing_to(&family.timing)),
            revoked: family.revoked,
            claims: record.claims.as_bytes().to_vec(),
            stale_since: record.stale_since.map(time_to),
            methods: (!record.methods.is_empty()).then(|| json(&record.methods)).transpose()?,
            proof: record.reauthentication.as_ref().map(json).transpose()?,
            origin: record.origin.as_ref().map(|origin| origin.as_bytes().to_vec()),
            persistent: record.persistent,
            attached: (!record.attached.is_empty()).then(|| json(&record.attached)).transpose()?,
        })
    }

    /// Reads the columns of a record from a row, starting at column `first`. Returns `None` if the ID in column `first`
    /// is NULL.
    pub(in crate::store) fn read<'r, R: Row>(row: &'r R, first: usize) -> Result<Option<Self>, StoreError>
    where
        usize: ColumnIndex<R>,
        bool: Decode<'r, R::Database> + Type<R::Database>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
        Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
        Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
        Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
    {
        let read = || -> Result<Option<Self>, sqlx::Error> {
            let Some(id) = row.try_get::<Option<Vec<u8>>, _>(first)? else { return Ok(None) };
            Ok(Some(Self {
                id,
                generation: row.try_get(first + 1)?,
                confirmed_at: row.try_get(first + 2)?,
                created_at: row.try_get(first + 3)?,
                offered_at: row.try_get(first + 4)?,
                idle_timeout: row.try_get(first + 5)?,
                idle_deadline: row.try_get(first + 6)?,
                absolute_deadline: row.try_get(first + 7)?,
                rotation_interval: row.try_get(first + 8)?,
                timing: row.try_get(first + 9)?,
                revoked: row.try_get(first + 10)?,
                claims: row.try_get(first + 11)?,
                stale_since: row.try_get(first + 12)?,
                methods: row.try_get(first + 13)?,
                proof: row.try_get(first + 14)?,
                origin: row.try_get(first + 15)?,
                persistent: row.try_get(first + 16)?,
                attached: row.try_get(first + 17)?,
            }))
        };
        read().map_err(unavailable)
    }

    pub(in crate::store) fn record(self) -> Result<SessionRecord, StoreError> {
        let negative = |_| corrupt("a number below zero");
        Ok(SessionRecord {
            id: session_id(&self.id)?,
            family: Family {
                generation: u64::try_from(self.generation).map_err(negative)?,
                confirmed_at: self.confirmed_at.map(time_from).transpose()?,
                created_at: time_from(self.created_at)?,
                handed_out_at: time_from(self.offered_at)?,
                idle_timeout: duration_from(self.idle_timeout)?,
                idle_deadline: time_from(self.idle_deadline)?,
                absolute_deadline: time_from(self.absolute_deadline)?,
                revoked: self.revoked,
                timing: timing_from(self.timing.as_deref(), duration_from(self.rotation_interval)?)?,
            },
            claims: text(self.claims)?.into(),
            stale_since: self.stale_since.map(time_from).transpose()?,
            methods: self.methods.as_deref().map(parsed).transpose()?.unwrap_or_default(),
            reauthentication: self.proof.as_deref().map(parsed).transpose()?,
            origin: self.origin.map(text).transpose()?.map(Into::into),
            persistent: self.persistent,
            attached: self.attached.as_deref().map(parsed).transpose()?.unwrap_or_default(),
        })
    }
}

/// Converts the bytes in the database to a session ID.
pub(in crate::store) fn session_id(bytes: &[u8]) -> Result<SessionId, StoreError> {
    bytes.try_into().map(SessionId::from_bytes).map_err(|_| corrupt("an id that is not 32 bytes"))
}
