//! Stores in throw-away files, and sessions in them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_sliding_sessions::{
    Clock as _, SessionId, SystemClock, Timestamp,
    protocol::Family,
    store::{SessionKey, SessionRecord, SessionStore as _, SqliteStore, Subject},
};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Sixteen hexadecimal digits that nobody else uses.
pub(crate) fn unique() -> String {
    SessionId::random().expect("random bytes").tag().to_string()
}

/// A folder that is deleted with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Arc<Self> {
        let folder = std::env::temp_dir().join(format!("sqlite-store-{}", unique()));
        std::fs::create_dir(&folder).expect("a new folder");
        Arc::new(Self(folder))
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

/// A store in a file of its own, for the suite: the file is deleted once it is unlinked by the
/// next, since the suite does not say when it is done.
pub(crate) async fn fresh() -> SqliteStore {
    static OPEN: Mutex<Vec<Arc<Folder>>> = Mutex::new(Vec::new());
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let mut open = OPEN.lock().expect("nobody panicked here");
    open.push(folder);
    // Deleting an open file is fine where files are inodes. At most a few stores are in use.
    if open.len() > 32 {
        open.remove(0);
    }
    store
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

#[expect(clippy::needless_pass_by_value, reason = "names and numbers alike")]
pub(crate) fn subject(name: impl ToString) -> Subject {
    Subject { realm: "test".into(), name: name.to_string().into() }
}

/// A session that begins at `created` and lasts a day.
pub(crate) fn record(created: Timestamp) -> SessionRecord {
    SessionRecord {
        id: SessionId::random().expect("random bytes"),
        family: Family::begin(created, DAY, DAY),
        claims: "null".into(),
        stale_since: None,
        methods: Vec::new(),
        proof: None,
        origin: None,
        persistent: false,
    }
}

/// Opens a session of a subject of its own.
pub(crate) async fn open(store: &SqliteStore, created: Timestamp) -> SessionKey {
    let (record, subject) = (record(created), subject(unique()));
    store.create(&subject, &record, None).await.expect("it is created");
    SessionKey { subject, id: record.id }
}
