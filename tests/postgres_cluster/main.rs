//! Sessions in a PostgreSQL cluster whose primary is killed or switched over under load. Needs a cluster that no other
//! process uses at the same time: `tests/run` starts one, and `tests/servers/patroni` runs a command with one.
//!
//! `PATRONI_FAULTS` sets how often the primary is killed or switched over in each mode (default 1; 20 is the long
//! form).

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod client;
mod cluster;
mod crowd;
mod instance;
mod ledger;
mod lost_timeline;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of stores")]
mod records;
mod restored;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tower_sliding_sessions::{
    SessionId,
    store::{
        PostgresStore,
        sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection},
    },
};

use self::{
    cluster::{Cluster, Fault, hosts, now, url},
    crowd::{Crowd, Seen, Wrong},
    instance::Instance,
    ledger::Ledger,
};

/// How long an instance may take until it writes again, after a new connection can.
const RECOVERY: Duration = Duration::from_secs(4);
/// How long instances may take to write lost revocations again, and the others to read them.
const ASSERTION: Duration = Duration::from_secs(8);

fn faults(first: Fault) -> Vec<Fault> {
    let count = std::env::var("PATRONI_FAULTS").map_or(1, |text| text.parse().expect("a number"));
    let all = [Fault::Crash, Fault::SwitchOver, Fault::Die, Fault::Freeze].into_iter().cycle();
    all.skip_while(|fault| *fault != first).take(count).collect()
}

/// A new schema.
pub(crate) async fn schema() -> String {
    let id = SessionId::random().expect("random bytes");
    let hex: String = id.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut connection = PgConnection::connect(&url()).await.expect("the cluster answers");
    let create = format!("CREATE SCHEMA cluster{hex}");
    connection.execute(AssertSqlSafe(create)).await.expect("a new schema");
    format!("cluster{hex}")
}

/// Two instances behind HAProxy, and one whose address names all nodes.
async fn instances(schema: &str) -> Vec<Instance> {
    let mut instances = Vec::new();
    for url in [url(), url(), hosts()] {
        instances.push(Instance::start(&url, schema).await);
    }
    instances
}

/// Waits until each instance signs a user in. Returns how long the slowest took.
async fn recovery(instances: &[Instance]) -> Duration {
    let began = now();
    let wait = async |at: usize| {
        while instances[at].sign_in(&format!("after-{at}")).await.is_none() {
            if began.elapsed() > RECOVERY {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(began.elapsed())
    };
    let took = join_all((0..instances.len()).map(wait)).await;
    println!("    the instances write after another {took:?}");
    if let Some(at) = took.iter().position(Option::is_none) {
        let instance = &instances[at];
        let unusable = instance.store.unusable_hosts().await;
        panic!("instance {at} has not recovered: {:?}, {unusable:?}", instance.last_failure());
    }
    took.into_iter().flatten().max().unwrap_or_default()
}

/// Waits until the store has all revocations that were acknowledged to users. Returns how many it had not at first.
async fn assertion(instance: &Instance, seen: &Seen) -> usize {
    let (began, mut first) = (now(), None);
    loop {
        let mut live = Vec::new();
        for signed_out in seen.signed_out() {
            if instance.is_live(&signed_out.name).await != Some(false) {
                live.push(signed_out.name);
            }
        }
        let lost = *first.get_or_insert(live.len());
        if live.is_empty() {
            return lost;
        }
        assert!(began.elapsed() < ASSERTION, "the store still has {live:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A former primary may have lost what it acknowledged just before this.
fn is_excused(wrong: &Wrong, failed: Instant, recovered: Instant) -> bool {
    match wrong {
        Wrong::Refused { signed_in, .. } => {
            *signed_in + Duration::from_secs(1) > failed && *signed_in < recovered
        }
        Wrong::Served { signed_out, at, .. } => *signed_out < recovered && *at < recovered + ASSERTION,
    }
}

async fn endure(mode: &'static str, first: Fault) {
    let cluster = Cluster::take(mode).await;
    let schema = schema().await;
    let instances = instances(&schema).await;
    let direct = PostgresStore::connect_in_schema(&url(), &schema).await.expect("the cluster answers");
    recovery(&instances).await;
    let crowd = Crowd::start(12, &instances);
    let is_synchronous = mode == "synchronous";
    let (mut lost, mut lost_of_users, mut slowest) = (0, 0, Duration::ZERO);
    let mut acknowledged = 0;
    for fault in faults(first) {
        let ledger = Ledger::start(&direct);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let failed = now();
        cluster.suffers(fault).await;
        let took = recovery(&instances).await;
        let recovered = now();
        slowest = slowest.max(took);
        let revoked = ledger.stop().await;
        acknowledged += revoked.len();
        let lost_now = ledger::lost(&direct, &revoked).await;
        lost += lost_now;
        lost_of_users += assertion(&instances[0], &crowd.seen).await;
        let mut wrong = crowd.seen.take_wrong();
        wrong.retain(|wrong| is_synchronous || !is_excused(wrong, failed, recovered));
        assert!(wrong.is_empty(), "after {fault:?}: {wrong:?}");
        cluster.does(&["ready"]).await;
    }
    crowd.wait_for_copies().await;
    let gaps: usize = instances.iter().map(|instance| instance.gaps.load(Ordering::SeqCst)).sum();
    let seen = crowd.stop().await;
    let wrong = seen.take_wrong();
    assert!(wrong.is_empty(), "{wrong:?}");
    println!(
        "{mode}: {} faults; every instance wrote at most {slowest:?} after a new connection could; \
         {lost} of {acknowledged} acknowledged revocations lost by the server, {lost_of_users} of the users' until an \
         instance wrote them again; {gaps} gaps; {:?}",
        faults(first).len(),
        seen.tally
    );
    assert!(!is_synchronous || lost == 0, "{lost} acknowledged revocations were lost");
    assert!(acknowledged > 0 && seen.tally.sign_outs.load(Ordering::SeqCst) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn synchronous_cluster_loses_no_acknowledged_revocation_and_signs_no_legitimate_client_out() {
    endure("synchronous", Fault::Crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocations_that_an_asynchronous_cluster_lost_are_written_again() {
    endure("asynchronous", Fault::SwitchOver).await;
}
