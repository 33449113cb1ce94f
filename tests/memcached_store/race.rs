//! Several connections, and several processes, race on one session.

use std::process::{Command, Stdio};

use tower_sliding_sessions::{
    SessionId,
    store::{MemcachedStore, Revoke, SessionKey, SessionStore as _, Subject},
};

use super::{address, confirm, now, open, unique};

/// Rotates a session as often as possible, in competition with all other tasks. Returns the rotations
/// that it won.
async fn rotate(store: &MemcachedStore, key: &SessionKey, until: u64) -> Vec<u64> {
    let (mut known, mut won) = (0, Vec::new());
    while known < until {
        let snapshot = store.advance(key, known, now()).await.expect("an answer");
        if snapshot.applied {
            won.push(known);
        }
        let Some(record) = snapshot.record.filter(|record| !record.is_revoked()) else { break };
        known = record.generation();
        confirm(store, key).await;
    }
    won
}

fn assert_each_won_once(mut won: Vec<u64>, until: u64) {
    won.sort_unstable();
    assert_eq!(won, (0..until).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_rotation_is_won_once_over_many_connections() {
    let prefix = unique();
    let store = || MemcachedStore::new(&address()).with_prefix(&prefix);
    let key = open(&store()).await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, key) = (store(), key.clone());
        racing.spawn(async move { rotate(&store, &key, 100).await });
    }
    assert_each_won_once(racing.join_all().await.concat(), 100);
}

const WORKER: &str = "TEST_MEMCACHED_WORKER";

/// The work of one process: see `each_rotation_is_won_once_by_several_processes`.
#[tokio::test]
async fn worker() {
    let Ok(job) = std::env::var(WORKER) else { return };
    let mut words = job.split(' ');
    let mut next = || words.next().expect("a job");
    let store = MemcachedStore::new(&address()).with_prefix(next());
    let subject = Subject { realm: "test".into(), name: next().into() };
    let id = SessionId::decode(next()).expect("an id");
    for won in rotate(&store, &SessionKey { subject, id }, 200).await {
        println!("\nwon {won}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rotation_is_won_once_by_several_processes() {
    let prefix = unique();
    let store = MemcachedStore::new(&address()).with_prefix(&prefix);
    let key = open(&store).await;
    let job = format!("{prefix} {} {}", key.subject.name, key.id.encode());
    let workers: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().expect("this program"))
                .args(["race::worker", "--exact", "--nocapture"])
                .env(WORKER, &job)
                .stdout(Stdio::piped())
                .spawn()
                .expect("a process")
        })
        .collect();
    let mut won = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        won.extend(text.lines().filter_map(|line| line.strip_prefix("won ")?.parse::<u64>().ok()));
    }
    assert_each_won_once(won, 200);
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer"), [key.id]);
    assert!(rotate(&store, &key, 300).await.is_empty(), "the session stays revoked");
}
