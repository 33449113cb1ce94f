//! Stores in throw-away files, and sessions in them.

use std::{
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

use tower_sliding_sessions::{
    Clock as _, RunId, SessionId, SystemClock, Timestamp,
    store::{SessionKey, SessionRecord, SessionStore as _, Snapshot, SqliteStore, StoreError, Subject},
};

use crate::records;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Sixteen unique hexadecimal digits.
pub(crate) fn unique() -> String {
    SessionId::random().expect("random bytes").tag().to_string()
}

/// A folder that is deleted on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("sqlite-store-{}", unique()));
        std::fs::create_dir(&folder).expect("a new folder");
        Self(folder)
    }

    /// The path of the database in it.
    pub(crate) fn file(&self) -> String {
        self.0.join("sessions.db").to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A store in a new file for the suite, which does not say when it has finished with one. So the folders
/// stay, in Cargo's folder for temporary files, until a later run deletes old ones.
pub(crate) async fn fresh() -> SqliteStore {
    static ONCE: Once = Once::new();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sqlite-store");
    ONCE.call_once(|| {
        std::fs::create_dir_all(&all).expect("a folder");
        for entry in std::fs::read_dir(&all).expect("a folder").flatten() {
            let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            if age.is_ok_and(|age| age.is_ok_and(|age| age > Duration::from_secs(600))) {
                let _gone = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    let folder = all.join(unique());
    std::fs::create_dir(&folder).expect("a new folder");
    let file = folder.join("sessions.db");
    SqliteStore::open(file.to_str().expect("UTF-8")).await.expect("it opens")
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

#[expect(clippy::needless_pass_by_value, reason = "names and numbers alike")]
pub(crate) fn subject(name: impl ToString) -> Subject {
    Subject { realm: "test".into(), name: name.to_string().into() }
}

/// A session that begins at `created` and lasts one day.
pub(crate) fn record(created: Timestamp) -> SessionRecord {
    records::record(created, DAY, DAY)
}

/// Opens a session of a new subject.
pub(crate) async fn open(store: &SqliteStore, created: Timestamp) -> SessionKey {
    let (record, subject) = (record(created), subject(unique()));
    store.create(&subject, &record, None).await.expect("it is created");
    SessionKey { subject, id: record.id() }
}

/// The lowest run ID. To raise to it changes nothing.
pub(crate) const LOWEST: RunId = match RunId::from_u64(1) {
    Some(run) => run,
    None => unreachable!(),
};

/// Confirms the current generation, as of `at`.
pub(crate) async fn confirm(store: &SqliteStore, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
    loop {
        let Snapshot { record, version, .. } = store.get(key).await?;
        let record = records::confirmed(&record.expect("it is there"), at);
        if store.replace(key, version, &record, None).await?.applied {
            return Ok(());
        }
    }
}
