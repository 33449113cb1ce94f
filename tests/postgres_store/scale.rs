//! What an operation reads does not depend on how many sessions and events there are. Rows are counted, not time.

use std::time::Duration;

use tower_sliding_sessions::{
    Timestamp,
    store::{
        Cap, FeedEvent, FeedFrom, PostgresStore, Revoke, SessionKey, SessionStore as _, Subject,
        sqlx::{self, AssertSqlSafe, PgPool, postgres::PgPoolOptions},
    },
};

use crate::server::{now, open, record, schema, subject, url};

/// How many sessions and events there are before the first and before the second count.
const FEW: i64 = 3000;
const MANY: i64 = 40_000;
/// How many events are of the last hour.
const RECENT: i64 = 6000;
/// How many sessions one subject has.
const OF_ONE: u64 = 2000;

struct World {
    store: PostgresStore,
    pool: PgPool,
    schema: String,
    at: Timestamp,
    crowd: Subject,
}

impl World {
    async fn new() -> Self {
        let schema = schema().await;
        // One connection, whose counters are those of the store's calls.
        let pool = PgPoolOptions::new().max_connections(1).connect(&url()).await.expect("the server answers");
        let store = PostgresStore::new(pool.clone()).with_schema(&schema).expect("a schema");
        store.migrate().await.expect("it is migrated");
        let world = Self { store, pool, schema, at: now(), crowd: subject("crowd") };
        let template = record(world.at);
        world.store.create(&subject("template"), &template, None).await.expect("it is created");
        world.copy("'crowd'", 1, OF_ONE.cast_signed()).await;
        world
    }

    async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.replace("{s}", &self.schema));
        sqlx::raw_sql(sql).execute(&self.pool).await.expect("it runs");
    }

    /// Adds sessions in bulk: copies of one that the store wrote. `subject` is an expression over `n`.
    async fn copy(&self, subject: &str, from: i64, to: i64) {
        let columns = "version, run, generation, confirmed_at, created_at, offered_at, idle_timeout, \
             idle_deadline, absolute_deadline, rotation_interval, timing, revoked, claims, persistent";
        self.run(&format!(
            "INSERT INTO {{s}}.sliding_sessions (realm, subject, id, {columns}) \
             SELECT realm, convert_to({subject}, 'UTF8'), sha256(int8send(n)), {columns} \
             FROM {{s}}.sliding_sessions, generate_series({from}::bigint, {to}::bigint) AS n \
             WHERE subject = 'template'"
        ))
        .await;
    }

    /// Adds sessions of other subjects, as many events of half a day ago, and then some of an hour ago.
    async fn grow(&self, from: i64, to: i64) {
        self.copy("md5(n::text) || n", from, to).await;
        for (hours, to) in [(12, to), (1, from + RECENT)] {
            let at = self.at.as_millis() - hours * 60 * 60 * 1000;
            self.run(&format!(
                "INSERT INTO {{s}}.sliding_sessions_feed (mark, kind, at, realm, subject, id) \
                 SELECT n, 1, {at} + n - {from}, 'test', 'old', sha256(int8send(n)) \
                 FROM generate_series({from}, {to}) AS n"
            ))
            .await;
        }
        self.run("ANALYZE {s}.sliding_sessions; ANALYZE {s}.sliding_sessions_feed").await;
    }

    async fn rows_read(&self) -> i64 {
        self.run("SELECT pg_stat_force_next_flush()").await;
        sqlx::query_scalar(
            "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0))::bigint \
             FROM pg_stat_user_tables WHERE schemaname = $1 AND relname <> 'sliding_sessions_meta'",
        )
        .bind(&self.schema)
        .fetch_one(&self.pool)
        .await
        .expect("the server counts")
    }

    /// How many rows a call reads: the least of several, since the store may sweep meanwhile.
    async fn count(&self, call: impl AsyncFn()) -> i64 {
        let mut least = i64::MAX;
        // PostgreSQL plans anew for the first five calls, and then may take a plan for any arguments.
        for turn in 0..12 {
            let before = self.rows_read().await;
            call().await;
            if turn > 5 {
                least = least.min(self.rows_read().await - before);
            }
        }
        least
    }

    /// The subject's sessions that were not renewed yet.
    async fn keys_of(&self, subject: &Subject) -> Vec<SessionKey> {
        let listed = self.store.list(subject, self.at).await.expect("it is listed");
        let fresh = listed.into_iter().filter(|record| record.generation() == 0);
        fresh.map(|record| SessionKey { subject: subject.clone(), id: record.id() }).collect()
    }

    /// The rows that each operation reads.
    async fn counts(&self) -> Vec<(&'static str, i64)> {
        let Self { store, at, .. } = self;
        let (at, one) = (*at, open(store, *at).await);
        let end = store.feed(&FeedFrom::Since(at)).await.expect("the feed is read").position;
        let crowd = self.keys_of(&self.crowd).await;
        let turn = std::sync::atomic::AtomicUsize::new(0);
        let next =
            || crowd.get(turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).expect("enough of them");
        let renew = async |key: &SessionKey| {
            let read = store.get(key).await.expect("it is read");
            let record = read.record.expect("it is there");
            assert!(store.replace(key, read.version, &record, None).await.expect("it is written").applied);
            assert!(store.advance(key, 0, at).await.expect("it answers").applied);
        };
        let revoke = async |key: &SessionKey| {
            let revoked = store.revoke(&Revoke::Session(key.clone()), at).await.expect("it is revoked");
            assert_eq!(revoked, [key.id]);
        };
        vec![
            ("sign-in", self.count(async || drop(open(store, at).await)).await),
            (
                "sign-in with a cap",
                self.count(async || {
                    let cap = Some(Cap::RevokeOldest(2));
                    store.create(&subject("capped"), &record(at), cap).await.expect("it is created");
                })
                .await,
            ),
            ("reading", self.count(async || drop(store.get(&one).await.expect("it is read"))).await),
            ("listing", self.count(async || drop(self.keys_of(&one.subject).await)).await),
            ("renewal of one of many", self.count(async || renew(next()).await).await),
            ("revocation of one of many", self.count(async || revoke(next()).await).await),
            ("sweep", self.count(async || assert_eq!(store.sweep(at).await.expect("it is swept"), 0)).await),
            (
                "first read of the feed",
                self.count(async || {
                    let since = FeedFrom::Since(at - Duration::from_secs(2 * 60 * 60));
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

/// What the planner expects a page of the feed to cost. Above `jit_above_cost` (100,000), PostgreSQL compiles the
/// statement, which takes far longer than to run it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_a_long_feed_is_too_cheap_to_be_compiled() {
    let world = World::new().await;
    world.grow(10_000, 10_000 + 100_000).await;
    let name: String = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc WHERE proname LIKE 'sliding_sessions_look%' \
         AND pronamespace = $1::text::regnamespace",
    )
    .bind(&world.schema)
    .fetch_one(&world.pool)
    .await
    .expect("the function");
    let sql =
        format!("EXPLAIN SELECT * FROM {}.{name}(NULL, 1, 1, -9000000000000000000, 5000)", world.schema);
    let plan: String =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&world.pool).await.expect("it is planned");
    let cost = plan.split_once("..").and_then(|(_, rest)| rest.split_once('.')).expect("a cost").0;
    assert!(cost.parse::<u64>().expect("a number") < 50_000, "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_an_operation_reads_do_not_depend_on_the_number_of_sessions_and_events() {
    let world = World::new().await;
    world.grow(10_000, 10_000 + FEW).await;
    let few = world.counts().await;
    world.grow(1_000_000, 1_000_000 + MANY).await;
    let many = world.counts().await;
    println!("rows read: {many:?}");
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        // The events of the test itself are in the feed.
        let at_most = if name.contains("feed") { few + few / 5 + 50 } else { 12 };
        assert!(*few <= at_most && *many <= at_most, "{name}: {few} rows of few, {many} of many");
    }
    let all = Revoke::Subject { subject: world.crowd.clone(), before: None, except: None };
    let live = world.store.list(&world.crowd, world.at).await.expect("they are listed").len();
    let before = world.rows_read().await;
    let revoked = world.store.revoke(&all, world.at).await.expect("they are revoked").len();
    let read = world.rows_read().await - before;
    assert_eq!(revoked, live);
    assert!(read <= i64::try_from(3 * revoked).expect("a number"), "{read} rows for {revoked} sessions");
}
