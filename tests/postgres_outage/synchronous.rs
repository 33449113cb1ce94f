//! A primary that waits for a synchronous standby which does not answer.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tower_sliding_sessions::{
    RunId,
    store::{
        PostgresStore, Revoke, SessionStore as _, StoreError,
        sqlx::{Connection as _, Executor as _, PgConnection, query_scalar},
    },
};

use crate::{Server, given, now, open_when_back};

/// Makes commits wait for a standby that is not there. Undone after the test, however it ends.
struct Waiting;

impl Waiting {
    async fn begin(admin: &mut PgConnection) -> Self {
        let waiting = Self;
        Server::does("await_standby");
        let named = "SELECT current_setting('synchronous_standby_names') <> ''";
        let began = Instant::now();
        while !query_scalar::<_, bool>(named).fetch_one(&mut *admin).await.expect("the server answers") {
            assert!(began.elapsed() < Duration::from_secs(10), "the setting did not change");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        Server::does("forget_standby");
    }
}

/// Ends the connections whose commits wait for the standby. Their writes are visible then. Returns how many.
async fn end_waiting_commits(admin: &mut PgConnection) -> i64 {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    query_scalar(end).fetch_one(admin).await.expect("the server answers")
}

/// Makes the call, and ends its connection as soon as its commit waits for the standby.
async fn interrupted<T>(admin: &mut PgConnection, call: impl Future<Output = Result<T, StoreError>>) {
    let ending = async {
        while end_waiting_commits(admin).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (called, ()) = tokio::join!(call, ending);
    assert!(matches!(called, Err(StoreError::Unavailable(_))), "it was not acknowledged");
}

/// The call writes nothing new, and is not acknowledged before the standby has what it relies on.
async fn waits<T: std::fmt::Debug>(what: &str, call: impl Future<Output = Result<T, StoreError>>) {
    let answer = timeout(Duration::from_secs(1), call).await;
    assert!(answer.is_err(), "{what} was acknowledged: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocation_is_acknowledged_only_when_the_standby_has_it_also_the_second_time() {
    let (_server, store) = Server::take().await;
    let mut admin = PgConnection::connect(&given("TEST_POSTGRES_URL")).await.expect("the server answers");
    let (one, _) = open_when_back(&store).await;
    let (many, _) = open_when_back(&store).await;
    let run = store.raise_run_id(RunId::from_u64(1).expect("not zero")).await.expect("the server answers");
    let next = RunId::newer_than(Some(run), now()).expect("there is one");
    let revoke_one = Revoke::Session(one.clone());
    let revoke_many = Revoke::Subject { subject: many.subject.clone(), before: None, except: None };

    let waiting = Waiting::begin(&mut admin).await;
    interrupted(&mut admin, store.revoke(&revoke_one, now())).await;
    interrupted(&mut admin, store.revoke(&revoke_many, now())).await;
    interrupted(&mut admin, store.raise_run_id(next)).await;
    // What was interrupted is visible, and the standby does not have it.
    waits("a session", store.revoke(&revoke_one, now())).await;
    waits("a subject", store.revoke(&revoke_many, now())).await;
    waits("a run ID", store.raise_run_id(next)).await;

    drop(waiting);
    admin.execute("SELECT pg_reload_conf()").await.expect("the server answers");
    let store = PostgresStore::connect(&given("TEST_POSTGRES_URL")).await.expect("the server answers");
    for revoke in [&revoke_one, &revoke_many] {
        let revoked = store.revoke(revoke, now()).await.expect("it is acknowledged");
        assert!(revoked.is_empty(), "the first call revoked it");
    }
    assert_eq!(store.raise_run_id(next).await.expect("it is acknowledged"), next);
}
