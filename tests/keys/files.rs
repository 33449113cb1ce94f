//! Key files that change under running instances. Time is paused: it passes when all tasks wait, and not while a file
//! is read.

use std::{
    error::Error as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;
use tower_sliding_sessions::{Event, EventKind, KeyFile, KeyFileError, Sessions, Severity};

use crate::{
    samples::{ed25519, oct, set, with},
    support::{Browser, Instance, Profile, World},
};

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn with(content: &str) -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.write(content);
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("keys.json")
    }

    /// Another file in its place.
    pub(crate) fn write(&self, content: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, content).unwrap();
        fs::rename(next, self.path()).unwrap();
    }
}

type Events = Arc<Mutex<Vec<Event>>>;

/// An instance of the world that follows a key file.
pub(crate) fn following(world: &World, path: &Path) -> (Instance, Events) {
    let events = Events::default();
    let recorder = events.clone();
    let sessions: Sessions<Profile> = Sessions::builder(KeyFile::open(path).unwrap())
        .store(world.store.clone())
        .clock(world.clock.clone())
        // The machine may be busy with other tests.
        .store_deadline(Duration::from_secs(600))
        .timing(|timing| timing.renew_before(Duration::ZERO).crash_window(Duration::ZERO))
        .on_event(move |event| recorder.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    (Instance::of(sessions), events)
}

/// Waits until it is so; returns how long that took.
pub(crate) async fn in_time(what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

pub(crate) async fn kids_become(instance: &Instance, kids: &[&str]) -> Duration {
    let is_so = async || {
        let list = instance.sessions.keys().list();
        list.iter().map(|key| &*key.kid).eq(kids.iter().copied())
    };
    in_time(&format!("{kids:?}"), is_so).await
}

fn faults(events: &Events) -> Vec<String> {
    let events = events.lock().unwrap();
    let faults = events.iter().filter(|event| event.kind == EventKind::KeyFileFailed);
    faults.map(|event| event.cause.as_deref().unwrap().to_owned()).collect()
}

fn changes(events: &Events) -> Vec<(String, Vec<String>)> {
    let events = events.lock().unwrap();
    let change = |event: &Event| match &event.kind {
        EventKind::KeysChanged { keys, pulled } => Some((keys.clone(), pulled.clone())),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

#[test]
fn bad_file_at_the_start_is_an_error_with_its_path() {
    let folder = Folder::with(&set(&[oct(0, "signing")])[..50]);
    let error = KeyFile::open(folder.path()).unwrap_err();
    assert!(matches!(error, KeyFileError::Keys { .. }), "{error:?}");
    assert!(error.to_string().contains("keys.json"));
    assert!(error.source().unwrap().to_string().contains("too early"));

    let missing = KeyFile::open(folder.0.path().join("missing.json")).unwrap_err();
    assert!(matches!(missing, KeyFileError::Read { .. }), "{missing:?}");
    for path in [folder.0.path(), Path::new("/dev/zero")] {
        assert!(matches!(KeyFile::open(path).unwrap_err(), KeyFileError::NoKeyFile { .. }));
    }
    folder.write(&" ".repeat(65_537));
    assert!(KeyFile::open(folder.path()).unwrap_err().to_string().contains("longer"));
    fs::write(folder.path(), b"\xff").unwrap();
    assert!(KeyFile::open(folder.path()).unwrap_err().to_string().contains("UTF-8"));
}

#[tokio::test(start_paused = true)]
async fn changed_file_is_in_force_within_a_second_and_reported_by_name() {
    let (world, folder) = (World::new(), Folder::with(&set(&[oct(0, "signing")])));
    let (instance, events) = following(&world, &folder.path());
    let mut browser = world.signed_in_to(&instance, "ann").await;
    folder.write(&set(&[oct(1, "signing"), oct(0, "retired")]));
    let took = kids_become(&instance, &["k1", "k0"]).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(browser.visit(&instance, "/me").await.ok());
    in_time("an event", async || !changes(&events).is_empty()).await;
    assert_eq!(changes(&events), [("k1 signing, k0 retired".to_owned(), Vec::new())]);
    let severity = events.lock().unwrap().iter().map(|event| event.kind.severity()).max();
    assert_eq!(severity, Some(Severity::Warning), "k1 was not published before");
    assert!(faults(&events).is_empty());
}

/// As Kubernetes updates a secret: the file is a link into `..data`, which is a link to a folder with a date.
#[tokio::test(start_paused = true)]
async fn swapped_symbolic_link_is_noticed() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let root = folder.path();
    let release = |name: &str, content: &str| {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("keys.json"), content).unwrap();
        symlink(name, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    release("..2027_01", &set(&[oct(0, "signing")]));
    symlink("..data/keys.json", root.join("keys.json")).unwrap();
    let (instance, events) = following(&world, &root.join("keys.json"));
    let mut browser = world.signed_in_to(&instance, "ann").await;
    for (name, step) in [("..2027_02", "published"), ("..2027_03", "retired")] {
        release(name, &set(&[oct(1, step), oct(0, "signing")]));
        in_time(step, async || !changes(&events).is_empty()).await;
        assert_eq!(changes(&events), [(format!("k0 signing, k1 {step}"), Vec::new())]);
        events.lock().unwrap().clear();
        assert!(browser.visit(&instance, "/me").await.ok());
    }
}

#[tokio::test(start_paused = true)]
async fn half_written_broken_or_missing_file_changes_nothing_and_is_reported_once() {
    let good = set(&[oct(0, "signing"), oct(1, "published")]);
    let (world, folder) = (World::new(), Folder::with(&good));
    let (instance, events) = following(&world, &folder.path());
    let mut browser = world.signed_in_to(&instance, "ann").await;
    let before = instance.sessions.keys().list();
    let next = set(&[oct(1, "signing"), oct(0, "retired"), oct(2, "published")]);
    let broken = [
        (next[..next.len() / 2].to_owned(), "too early"),
        (String::new(), "not a JSON object"),
        (next.replace("signing", "singing"), "`step`"),
        (next.replace("\"oct\"", "\"RSA\""), "key 1"),
        (" ".repeat(70_000), "longer"),
        ("\0".repeat(10), "not a JSON object"),
    ];
    for (content, cause) in broken {
        events.lock().unwrap().clear();
        // Not replaced, but written in place.
        fs::write(folder.path(), content).unwrap();
        in_time(cause, async || !faults(&events).is_empty()).await;
        // Two more readings: the fault is known.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let told = faults(&events);
        assert!(told.len() == 1 && told[0].contains(cause) && told[0].contains("keys.json"), "{told:?}");
        assert_eq!(instance.sessions.keys().list(), before);
        assert!(changes(&events).is_empty());
        assert!(browser.visit(&instance, "/me").await.ok());
    }
    events.lock().unwrap().clear();
    fs::remove_file(folder.path()).unwrap();
    in_time("missing", async || faults(&events).len() == 1).await;
    folder.write(&good);
    fs::remove_file(folder.path()).unwrap();
    folder.write(&next);
    kids_become(&instance, &["k1", "k2", "k0"]).await;
    assert!(browser.visit(&instance, "/me").await.ok());
    assert!(faults(&events).iter().all(|cause| cause.contains("cannot be read")));
}

#[tokio::test(start_paused = true)]
async fn pulled_or_removed_key_is_refused_by_all_instances_within_a_second() {
    let start = set(&[oct(0, "signing"), oct(1, "published")]);
    let (world, folder) = (World::new(), Folder::with(&start));
    let instances: Vec<_> = (0..3).map(|_| following(&world, &folder.path())).collect();
    for content in [
        set(&[oct(1, "signing"), with(oct(0, "pulled"), &json!({"k": null, "kty": null}))]),
        set(&[oct(1, "signing"), oct(0, "pulled")]),
        set(&[oct(1, "signing")]),
    ] {
        let mut browser = world.signed_in_to(&instances[0].0, "ann").await;
        for (instance, _) in &instances {
            assert!(browser.visit(instance, "/me").await.ok(), "it is in the cache of verified tokens");
        }
        folder.write(&content);
        let wrote = Instant::now();
        let is_refused = async |instance: &Instance| {
            let answer = instance.answer(browser.get("/me")).await;
            answer.status() == 401 && answer.touches_no_cookie()
        };
        for (instance, events) in &instances {
            in_time("401", async || is_refused(instance).await).await;
            in_time("an event", async || {
                changes(events) == [("k1 signing".to_owned(), vec!["k0".to_owned()])]
            })
            .await;
        }
        assert!(wrote.elapsed() < Duration::from_secs(1), "{:?}", wrote.elapsed());
        folder.write(&start);
        for (instance, events) in &instances {
            kids_become(instance, &["k0", "k1"]).await;
            in_time("an event", async || changes(events).len() == 2).await;
            events.lock().unwrap().clear();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_from_code_are_in_force_until_the_file_changes() {
    let (world, folder) = (World::new(), Folder::with(&set(&[oct(0, "signing")])));
    let (instance, events) = following(&world, &folder.path());
    let _start = Browser::new().visit(&instance, "/me").await;
    instance.sessions.set_keys(instance.sessions.keys().publish(crate::samples::ring(&[ed25519()])).unwrap());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(instance.sessions.keys().list().len(), 2);
    folder.write(&set(&[oct(0, "signing"), oct(1, "published")]));
    kids_become(&instance, &["k0", "k1"]).await;
    assert!(faults(&events).is_empty());
}

#[tokio::test(start_paused = true)]
async fn file_is_no_longer_read_after_a_shutdown() {
    let (world, folder) = (World::new(), Folder::with(&set(&[oct(0, "signing")])));
    let (instance, events) = following(&world, &folder.path());
    instance.sessions.shutdown().await;
    folder.write("broken");
    let _answer = Browser::new().visit(&instance, "/me").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(faults(&events).is_empty());
}

#[tokio::test(start_paused = true)]
async fn file_is_followed_where_there_is_no_session_layer() {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    let folder = Folder::with(&set(&[oct(0, "signing")]));
    let sessions: Sessions<Profile> =
        Sessions::builder(KeyFile::open(folder.path()).unwrap()).build().unwrap();
    let ask = async || {
        let request = Request::get("/.well-known/jwks.json").body(Body::empty()).unwrap();
        sessions.jwks_routes().oneshot(request).await.unwrap().status()
    };
    assert_eq!(ask().await, 200);
    folder.write(&set(&[oct(1, "signing")]));
    in_time("the other key", async || sessions.keys().kid() == "k1").await;
}
