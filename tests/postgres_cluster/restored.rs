//! A backup by `pg_dump` that is restored: while an instance runs, and while none does.

use std::{process::Command, sync::atomic::Ordering, time::Duration};

use axum::http::StatusCode;
use tower_sliding_sessions::{RunId, store::SessionStore as _};

use crate::{
    ASSERTION,
    cluster::{Cluster, now, url},
    instance::{ACCESS_TTL, Instance},
    recovery, schema,
};

struct Backup {
    folder: tempfile::TempDir,
}

impl Backup {
    fn of(schema: &str) -> Self {
        let backup = Self { folder: tempfile::tempdir().expect("a folder") };
        backup.run("pg_dump", &["-Fc", "-n", schema, "-f", &backup.file()]);
        backup
    }

    fn restore(&self) {
        self.run("pg_restore", &["--clean", "--if-exists", "--single-transaction", &self.file()]);
    }

    fn file(&self) -> String {
        self.folder.path().join("backup").to_string_lossy().into_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(["-d", &url()]).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn restored_backup_is_noticed_and_revives_nothing_that_a_running_instance_knows() {
    let _cluster = Cluster::take("asynchronous").await;
    let schema = schema().await;
    let instance = Instance::start(&url(), &schema).await;
    let late = instance.sign_in("late").await.expect("it answers");
    let mut stays = instance.sign_in("stays").await.expect("it answers");
    let backup = Backup::of(&schema);
    assert!(instance.sign_out(&late).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(instance.gaps.load(Ordering::SeqCst), 0);

    backup.restore();
    let began = now();
    recovery(std::slice::from_ref(&instance)).await;
    while instance.is_live("late").await != Some(false) {
        assert_ne!(instance.visit(&mut late.clone()).await, StatusCode::OK, "a revoked session is served");
        assert!(began.elapsed() < ASSERTION, "the revocation was not written again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(instance.gaps.load(Ordering::SeqCst), 1, "the instance reports a gap");
    assert_eq!(instance.visit(&mut late.clone()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(instance.visit(&mut stays).await, StatusCode::OK, "its session is in the backup");

    // An emergency stop after the backup is not lost either.
    let run = instance.sessions.revoke_everything().await.expect("it is acknowledged");
    backup.restore();
    let began = now();
    let lowest = RunId::from_u64(1).expect("not zero");
    while instance.store.raise_run_id(lowest).await.ok() != Some(run) {
        assert_ne!(instance.visit(&mut stays.clone()).await, StatusCode::OK, "a revoked session is served");
        assert!(began.elapsed() < ASSERTION, "the run ID was not written again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(instance.visit(&mut stays.clone()).await, StatusCode::UNAUTHORIZED);
    instance.sessions.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn backup_that_is_restored_while_no_instance_runs_needs_the_command_of_the_guide() {
    let _cluster = Cluster::take("asynchronous").await;
    let schema = schema().await;
    let instance = Instance::start(&url(), &schema).await;
    let late = instance.sign_in("late").await.expect("it answers");
    let backup = Backup::of(&schema);
    assert!(instance.sign_out(&late).await);
    instance.sessions.shutdown().await;
    drop(instance);
    backup.restore();
    // The access token has expired, so the store decides.
    tokio::time::sleep(ACCESS_TTL).await;

    let started = Instance::start(&url(), &schema).await;
    let mut revived = late.clone();
    assert_eq!(started.visit(&mut revived).await, StatusCode::OK, "nothing shows that it was revoked");
    // What the program of the guide does, in a process of its own.
    let program = Instance::start(&url(), &schema).await;
    program.sessions.revoke_everything().await.expect("it is acknowledged");
    program.sessions.shutdown().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for jar in [&late, &revived] {
        assert_eq!(started.visit(&mut jar.clone()).await, StatusCode::UNAUTHORIZED);
    }
    assert!(started.sign_in("late").await.is_some(), "the user signs in again");
}
