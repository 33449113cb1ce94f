//! What an operation costs does not depend on how many sessions and events there are. SQLite's own steps are counted,
//! not time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_sliding_sessions::{
    Timestamp,
    store::{
        Cap, FeedEvent, FeedFrom, Revoke, SessionKey, SessionStore as _, SqliteStore, Subject,
        sqlx::{self, AssertSqlSafe, SqlitePool, sqlite::SqlitePoolOptions},
    },
};

use crate::file::{Folder, now, open, record, subject};

const FEW: i64 = 3000;
const MANY: i64 = 40_000;
/// How many events are of the last hour.
const RECENT: i64 = 6000;
/// How many sessions one subject has.
const OF_ONE: i64 = 2000;

struct World {
    store: SqliteStore,
    pool: SqlitePool,
    steps: Arc<AtomicU64>,
    at: Timestamp,
    crowd: Subject,
    _folder: Folder,
}

impl World {
    async fn new() -> Self {
        let folder = Folder::new();
        SqliteStore::open(&folder.file()).await.expect("it opens");
        let steps = Arc::new(AtomicU64::new(0));
        // One connection, which counts each step of the statements.
        let options = SqlitePoolOptions::new().max_connections(1).after_connect({
            let steps = steps.clone();
            move |connection, _| {
                let steps = steps.clone();
                Box::pin(async move {
                    let count = move || {
                        steps.fetch_add(1, Ordering::Relaxed);
                        true
                    };
                    connection.lock_handle().await?.set_progress_handler(1, count);
                    Ok(())
                })
            }
        });
        let pool = options.connect(&format!("sqlite:{}", folder.file())).await.expect("it opens");
        let store = SqliteStore::new(pool.clone());
        let world = Self { store, pool, steps, at: now(), crowd: subject("crowd"), _folder: folder };
        let template = record(world.at);
        world.store.create(&subject("template"), &template, None).await.expect("it is created");
        world.copy("'crowd'", 1, OF_ONE).await;
        world
    }

    async fn run(&self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.expect("it runs");
    }

    /// Adds sessions in bulk: copies of one that the store wrote. `subject` is an expression over `n`.
    async fn copy(&self, subject: &str, from: i64, to: i64) {
        let columns = "version, run, dies_at, generation, confirmed_at, created_at, offered_at, idle_timeout, \
             idle_deadline, absolute_deadline, rotation_interval, timing, revoked, claims, persistent";
        self.run(format!(
            "WITH RECURSIVE all_n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM all_n WHERE n < {to}) \
             INSERT INTO sliding_sessions (realm, subject, id, {columns}) \
             SELECT realm, CAST({subject} AS BLOB), CAST(printf('%032d', n) AS BLOB), {columns} \
             FROM all_n, sliding_sessions WHERE subject = CAST('template' AS BLOB)"
        ))
        .await;
    }

    /// Adds sessions of other subjects, as many events of half a day ago, and then some of an hour ago.
    async fn grow(&self, from: i64, to: i64) {
        self.copy("printf('%d-other', n)", from, to).await;
        for (hours, to) in [(12, to), (1, from + RECENT)] {
            let at = self.at.as_millis() - hours * 60 * 60 * 1000;
            self.run(format!(
                "WITH RECURSIVE all_n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM all_n WHERE n < {to}) \
                 INSERT INTO sliding_sessions_feed (mark, kind, at, realm, subject, id) \
                 SELECT n, 1, {at} + n - {from}, CAST('test' AS BLOB), CAST('old' AS BLOB), \
                 CAST(printf('%032d', n) AS BLOB) FROM all_n"
            ))
            .await;
        }
    }

    /// How many steps a call takes: the least of several, since the store may sweep meanwhile.
    async fn count(&self, call: impl AsyncFn()) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..6 {
            let before = self.steps.load(Ordering::Relaxed);
            call().await;
            least = least.min(self.steps.load(Ordering::Relaxed) - before);
        }
        least
    }

    async fn keys_of(&self, subject: &Subject) -> Vec<SessionKey> {
        let listed = self.store.list(subject, self.at).await.expect("it is listed");
        // Those that were not renewed yet.
        let fresh = listed.into_iter().filter(|record| record.generation() == 0);
        fresh.map(|record| SessionKey { subject: subject.clone(), id: record.id() }).collect()
    }

    /// The steps that each operation takes.
    async fn counts(&self) -> Vec<(&'static str, u64)> {
        let Self { store, at, .. } = self;
        let (at, one) = (*at, open(store, *at).await);
        let end = store.feed(&FeedFrom::Since(at)).await.expect("the feed is read").position;
        let crowd = self.keys_of(&self.crowd).await;
        let turn = AtomicUsize::new(0);
        let next = || crowd.get(turn.fetch_add(1, Ordering::Relaxed)).expect("enough of them");
        let renew = async |key: &SessionKey| {
            assert!(store.advance(key, 0, at).await.expect("it answers").applied);
        };
        let revoke = async |key: &SessionKey| {
            let revoked = store.revoke(&Revoke::Session(key.clone()), at).await.expect("it is revoked");
            assert_eq!(revoked, [key.id]);
        };
        let create = async |cap| {
            store.create(&subject("capped"), &record(at), cap).await.expect("it is created");
        };
        let since = FeedFrom::Since(at - Duration::from_secs(2 * 60 * 60));
        vec![
            ("sign-in", self.count(async || drop(open(store, at).await)).await),
            ("sign-in with a cap", self.count(async || create(Some(Cap::RevokeOldest(2))).await).await),
            ("reading", self.count(async || drop(store.get(&one).await.expect("it is read"))).await),
            ("listing", self.count(async || drop(self.keys_of(&one.subject).await)).await),
            ("renewal of one of many", self.count(async || renew(next()).await).await),
            ("revocation of one of many", self.count(async || revoke(next()).await).await),
            ("sweep", self.count(async || assert_eq!(store.sweep(at).await.expect("it is swept"), 0)).await),
            (
                "first read of the feed",
                self.count(async || {
                    let read = store.feed(&since).await.expect("the feed is read");
                    assert!(!read.gap && read.more);
                })
                .await,
            ),
            (
                "next read of the feed",
                self.count(async || {
                    let event = FeedEvent::SubjectStale(subject("marked"), at);
                    store.mark_stale(&event).await.expect("it is marked");
                    let read = store.feed(&FeedFrom::After(end.clone())).await.expect("the feed is read");
                    assert!(!read.gap && !read.more);
                })
                .await,
            ),
        ]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_an_operation_takes_do_not_depend_on_the_number_of_sessions_and_events() {
    let world = World::new().await;
    world.grow(10_000, 10_000 + FEW).await;
    let few = world.counts().await;
    world.grow(1_000_000, 1_000_000 + MANY).await;
    let many = world.counts().await;
    println!("steps: {many:?}");
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        // The events of the test itself are in the feed.
        let at_most = if name.contains("feed") { few + few / 5 + 50 } else { 1000 };
        assert!(*few <= at_most && *many <= at_most, "{name}: {few} steps of few, {many} of many");
    }
}
