//! Run IDs: concurrent emergency stops, and stores that return to an older run ID.

use std::time::Duration;

use tower_sliding_sessions::{
    EventKind, Severity,
    store::{MemoryStore, SessionKey, SessionStore as _, Subject},
};

use crate::support::{Browser, Gate, Instance, Probe, TTL, Trouble, World, idle, read, until};

/// The longest time between two reads of the feed, and a little more.
const HEARTBEAT: Duration = Duration::from_millis(1500);

/// Signs in, and checks that the next request is served.
async fn assert_can_sign_in(instance: &Instance, name: &str) -> Browser {
    let mut browser = Browser::new();
    let answer = browser.submit(instance, &format!("/login?name={name}")).await;
    assert!(answer.ok() && answer.sets_both(), "{answer:?}");
    assert!(browser.visit(instance, "/me").await.ok(), "signed in, and refused by the next request");
    browser
}

/// Lets each instance read the feed once.
async fn follow(instances: &[&Instance]) {
    for _ in 0..3 {
        tokio::time::sleep(HEARTBEAT).await;
        for instance in instances {
            Browser::new().visit(instance, "/").await;
        }
        idle().await;
    }
}

/// A store that lost the newest run ID: `world`'s run ID was raised, and then the store returned to its
/// earlier state, with the session of "ann" in it.
struct WentBack {
    world: World,
    /// The store as it was before the emergency stop.
    past: MemoryStore,
    /// Signed in before the emergency stop.
    old: Browser,
    /// Signed in after it.
    new: Browser,
}

impl WentBack {
    async fn with(tune: fn(Probe) -> Probe) -> Self {
        let past = MemoryStore::new().unwrap();
        let world = World::around(tune(Probe::new(past.clone())), |builder| builder);
        let old = world.signed_in("ann").await;
        follow(&[&world.one]).await;
        world.store.become_that_of(MemoryStore::new().unwrap());
        follow(&[&world.one]).await;
        let new = assert_can_sign_in(&world.one, "bob").await;
        world.store.become_that_of(past.clone());
        Self { world, past, old, new }
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_emergency_stops_with_reordered_responses_refuse_no_new_session() {
    let world = World::new();
    let (gate, two) = (Gate::closed(), world.instance());
    let old = world.signed_in("ann").await;
    world.store.trouble("raise_run_id", Trouble::After(gate.clone()));
    let first = tokio::spawn({
        let sessions = world.one.sessions.clone();
        async move { sessions.revoke_everything().await }
    });
    until(async || world.store.calls("raise_run_id") == 1).await;
    // The second stop begins later, and its response comes earlier.
    world.store.recover();
    let second = world.one.sessions.revoke_everything().await.unwrap();
    gate.open();
    let first = first.await.unwrap().unwrap();
    assert!(second > first || world.store.run() == first, "{first} {second}");
    for instance in [&world.one, &two] {
        assert_eq!(old.clone().visit(instance, "/me").await.status(), 401);
        for name in ["ann", "bob"] {
            assert_can_sign_in(instance, name).await;
        }
    }
    follow(&[&world.one, &two]).await;
    assert_can_sign_in(&world.one, "carol").await;
}

#[tokio::test(start_paused = true)]
async fn each_concurrent_emergency_stop_returns_a_run_id_newer_than_all_before() {
    let world = World::new();
    let instances: Vec<_> = (0..4).map(|_| world.instance()).collect();
    for _ in 0..25 {
        let before = world.store.run();
        let old = world.signed_in("ann").await;
        let stops = instances.iter().map(|instance| {
            let sessions = instance.sessions.clone();
            tokio::spawn(async move { sessions.revoke_everything().await.unwrap() })
        });
        for stop in stops.collect::<Vec<_>>() {
            assert!(stop.await.unwrap() > before);
        }
        for instance in &instances {
            assert_eq!(old.clone().visit(instance, "/me").await.status(), 401);
            assert_can_sign_in(instance, "bob").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn emergency_stop_by_a_slow_clock_also_covers_a_newer_run_id_it_has_not_read() {
    let world = World::new();
    let two = world.instance();
    follow(&[&world.one, &two]).await;
    world.store.cut_the_feed();
    // The pending read of the feed returns.
    tokio::time::sleep(HEARTBEAT).await;
    // Raised by an instance whose clock is years ahead. `one` has not read it.
    let ahead = tower_sliding_sessions::RunId::at(world.one.sessions.now() + Duration::from_secs(1 << 30), 7);
    world.store.raise_run_id(ahead).await.unwrap();
    let of_that_run = assert_can_sign_in(&two, "ann").await;
    let run = world.one.sessions.revoke_everything().await.unwrap();
    assert!(run > ahead);
    world.store.recover();
    follow(&[&world.one, &two]).await;
    for instance in [&world.one, &two] {
        assert_eq!(of_that_run.clone().visit(instance, "/me").await.status(), 401);
        assert_can_sign_in(instance, "bob").await;
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_lost_the_newest_run_id_is_raised_to_it_and_that_is_reported() {
    let WentBack { world, past, old, .. } = WentBack::with(|probe| probe).await;
    let older = past.run_id_now().unwrap();
    follow(&[&world.one]).await;
    assert!(past.run_id_now().unwrap() > older, "the store was not corrected");
    assert_eq!(world.count(&EventKind::RunIdRestored), 1);
    assert_eq!(EventKind::RunIdRestored.severity(), Severity::Warning);
    assert_eq!(old.clone().visit(&world.one, "/me").await.status(), 401);
    assert!(world.one.sessions.list("ann").await.unwrap().is_empty());
    assert_can_sign_in(&world.one, "ann").await;
    follow(&[&world.one]).await;
    assert_eq!(world.count(&EventKind::RunIdRestored), 1);
}

#[tokio::test(start_paused = true)]
async fn first_sign_in_after_a_store_lost_the_run_id_is_in_the_newest_one() {
    for tune in [|probe: Probe| probe, Probe::without_feed] {
        let WentBack { world, .. } = WentBack::with(tune).await;
        assert_can_sign_in(&world.one, "carol").await;
    }
}

#[tokio::test(start_paused = true)]
async fn sign_in_fails_while_the_lost_run_id_cannot_be_restored() {
    let WentBack { world, .. } = WentBack::with(|probe| probe).await;
    world.store.trouble("raise_run_id", Trouble::Fail);
    let answer = Browser::new().submit(&world.one, "/login?name=carol").await;
    assert_eq!((answer.status(), answer.sets_both()), (503.try_into().unwrap(), false));
    world.store.recover();
    assert_can_sign_in(&world.one, "carol").await;
}

#[tokio::test(start_paused = true)]
async fn lost_run_id_revives_no_session_and_refuses_none_of_the_newest_run_id() {
    for tune in [|probe: Probe| probe, Probe::without_feed] {
        let WentBack { world, old, mut new, .. } = WentBack::with(tune).await;
        world.store.trouble("raise_run_id", Trouble::Fail);
        world.pass(TTL);
        assert_eq!(old.clone().visit(&world.one, "/me").await.status(), 401);
        assert_eq!(new.visit(&world.one, "/me").await.status(), 503, "unavailable, not refused");
        world.store.recover();
    }
}

#[tokio::test(start_paused = true)]
async fn fresh_instance_follows_once_another_instance_restores_the_lost_run_id() {
    let WentBack { world, old, .. } = WentBack::with(|probe| probe).await;
    let fresh = world.instance();
    follow(&[&world.one, &fresh]).await;
    for instance in [&world.one, &fresh] {
        assert_eq!(old.clone().visit(instance, "/me").await.status(), 401);
        assert_can_sign_in(instance, "carol").await;
    }
}

#[tokio::test(start_paused = true)]
async fn session_of_a_run_id_newer_than_this_instance_has_read_is_served() {
    let world = World::new();
    let two = world.instance();
    follow(&[&world.one, &two]).await;
    world.store.cut_the_feed();
    // The pending read of the feed returns.
    tokio::time::sleep(HEARTBEAT).await;
    world.store.stop_everything().await;
    let mut browser = assert_can_sign_in(&two, "ann").await;
    assert!(browser.visit(&world.one, "/me").await.ok(), "it has not read the run ID, so it asks the store");
    assert_can_sign_in(&world.one, "bob").await;
}

#[tokio::test(start_paused = true)]
async fn change_is_applied_to_a_record_that_another_instance_wrote_in_between() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let id = world.one.sessions.list("ann").await.unwrap()[0].id;
    let key = SessionKey { subject: Subject { realm: "sessions".into(), name: "ann".into() }, id };
    let gate = Gate::closed();
    world.store.trouble("record_reauthentication", Trouble::Before(gate.clone()));
    let proving = world.one.accept(browser.post("/sudo?by=pwd"));
    until(async || world.store.calls("record_reauthentication") == 1).await;
    let now = world.one.sessions.now();
    world.store.put_claims(&key, r#"{"name":"anna"}"#, now).await;
    world.store.recover();
    gate.open();
    assert!(proving.await.unwrap().ok());
    assert_eq!(
        world.store.calls("record_reauthentication"),
        2,
        "the first one conflicted with the change of claims"
    );
    let record = world.store.get(&key).await.unwrap().record.unwrap();
    let json = read(&record);
    assert_eq!(json["claims"], r#"{"name":"anna"}"#);
    assert!(json["reauthentication"].is_object());
}

#[tokio::test(start_paused = true)]
async fn restored_backup_revives_no_session_that_a_running_instance_knows_to_be_revoked() {
    let (present, backup) = (MemoryStore::new().unwrap(), MemoryStore::new().unwrap());
    present.raise_run_id(backup.run_id_now().unwrap()).await.unwrap();
    let world = World::around(Probe::new(present.clone()), |builder| builder);
    let [ann, mut bob] = [world.signed_in("ann").await, world.signed_in("bob").await];
    follow(&[&world.one]).await;
    // The backup is taken while both are signed in.
    let mut keys = Vec::new();
    for name in ["ann", "bob"] {
        let subject = Subject { realm: "sessions".into(), name: name.into() };
        let record = present.list(&subject, world.one.sessions.now()).await.unwrap().remove(0);
        backup.create(&subject, &record, None).await.unwrap();
        keys.push(SessionKey { subject, id: record.id() });
    }
    world.pass(60);
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1);
    follow(&[&world.one]).await;
    world.store.become_that_of(backup.clone());
    follow(&[&world.one]).await;
    follow(&[&world.one]).await;

    let revoked = async |key| backup.get(key).await.unwrap().record.unwrap().is_revoked();
    assert!(revoked(&keys[0]).await, "it was revoked in the backup, too");
    assert!(!revoked(&keys[1]).await);
    // For new instances too.
    let fresh = world.instance();
    world.pass(TTL);
    for instance in [&world.one, &fresh] {
        assert_eq!(ann.clone().visit(instance, "/me").await.status(), 401);
    }
    assert!(bob.visit(&fresh, "/me").await.ok());
}
