//! Several processes on one file: this test's program again, with its task in the environment.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tower_sliding_sessions::{
    SessionId, Timestamp,
    store::{SessionKey, SessionStore as _, SqliteStore},
};

use crate::file::{Folder, confirm, now, open, record, subject};

const FILE: &str = "SQLITE_STORE_FILE";
const SESSION: &str = "SQLITE_STORE_SESSION";
/// The last generation.
const GENERATIONS: u64 = 60;

/// Starts `worker`, which is one of the functions below.
fn start(worker: &str, file: &str, session: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", worker])
        .env(FILE, file)
        .env(SESSION, session)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts")
}

/// A worker's output, without that of its test runner.
fn said(line: &str) -> Option<&str> {
    line.split_once("said:").map(|(_, said)| said)
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: the tests of this file start this one"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
/// A worker of the test below, which starts it as a process. Without that it does nothing.
async fn rotator() {
    if std::env::var_os(FILE).is_none() {
        return;
    }
    let store = SqliteStore::open(&given(FILE)).await.expect("it opens");
    let key =
        SessionKey { subject: subject("racer"), id: SessionId::decode(&given(SESSION)).expect("an id") };
    let (at, mut known) = (now(), 0);
    while known < GENERATIONS {
        let answer = store.advance(&key, known, at).await.expect("the file is there");
        let generation = answer.record.expect("the session is there").generation();
        if answer.applied {
            println!("said:{known}");
        }
        known = generation;
        // Confirmed long ago, so that the next process can rotate.
        confirm(&store, &key, Timestamp::EPOCH).await.expect("the file is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_several_processes_wins_each_rotation() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let record = record(now());
    store.create(&subject("racer"), &record, None).await.expect("it is created");
    let workers: Vec<_> =
        (0..4).map(|_| start("process::rotator", &folder.file(), &record.id().encode())).collect();
    let mut won = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = text.lines().filter_map(said);
        won.extend(lines.map(|line| line.trim().parse::<u64>().expect("a generation")));
    }
    won.sort_unstable();
    assert_eq!(won, (0..GENERATIONS).collect::<Vec<_>>(), "each rotation was won once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
/// A worker of the test below, which starts it as a process. Without that it does nothing.
async fn creator() {
    if std::env::var_os(FILE).is_none() {
        return;
    }
    let store = SqliteStore::open(&given(FILE)).await.expect("it opens");
    loop {
        let record = record(now());
        store.create(&subject("creator"), &record, None).await.expect("it is created");
        println!("said:{}", record.id().encode());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_a_killed_process() {
    let folder = Folder::new();
    for round in 1..=5 {
        let mut worker = start("process::creator", &folder.file(), "");
        let mut lines = BufReader::new(worker.stdout.take().expect("it is piped")).lines();
        let mut acknowledged = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            acknowledged.extend(said(&line).map(str::to_owned));
            if acknowledged.len() == 20 * round {
                worker.kill().expect("it is killed");
            }
        }
        worker.wait().expect("it ended");
        assert!(acknowledged.len() >= 20 * round);
        let store = SqliteStore::open(&folder.file()).await.expect("it opens");
        for id in acknowledged.iter().filter(|id| id.len() == 43) {
            let key = SessionKey { subject: subject("creator"), id: SessionId::decode(id).expect("an id") };
            assert!(store.get(&key).await.expect("it is read").record.is_some());
        }
        open(&store, now()).await;
    }
}
