//! One account with very many revoked sessions costs other accounts nothing.

use std::time::Duration;

use tokio::time::Instant;
use tower_sliding_sessions::store::{
    Cap, FeedEvent, FeedFrom, PostgresStore, Revoke, SessionStore as _,
    sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, PgConnection},
};

use crate::server::{DAY, LOWEST, now, open, pool, record, schema, subject, url};

const MANY: u32 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn work_depends_on_live_sessions_and_not_on_revoked_ones() {
    let name = schema().await;
    let own = pool(&url()).await;
    let store = PostgresStore::new(own.clone()).with_schema(&name).expect("a schema");
    store.migrate().await.expect("it is migrated");
    let greedy = subject("greedy");
    store.create(&greedy, &record(now()), None).await.expect("it is created");
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    let script = format!(
        "INSERT INTO {name}.sliding_sessions (realm, subject, id, run, version, generation, confirmed_at, \
         created_at, offered_at, idle_timeout, idle_deadline, absolute_deadline, rotation_interval, timing, \
         revoked, claims, persistent) \
         SELECT realm, subject, sha256(int4send(n)), run, version, generation, confirmed_at, created_at, \
         offered_at, idle_timeout, idle_deadline, absolute_deadline, rotation_interval, timing, true, claims, \
         persistent FROM {name}.sliding_sessions, generate_series(1, {MANY}) AS n; \
         ANALYZE {name}.sliding_sessions"
    );
    admin.execute(AssertSqlSafe(script)).await.expect("revoked sessions");
    // Once each before the measurement, so that plans are made and pages are read.
    let cap = Some(Cap::RevokeOldest(2));
    let mut worst = [Duration::ZERO; 3];
    for turn in 0..12 {
        let mut took = [Duration::ZERO; 3];
        let began = Instant::now();
        store.create(&greedy, &record(now()), cap).await.expect("it is created");
        took[0] = began.elapsed();
        let began = Instant::now();
        assert!(store.list(&greedy, now()).await.expect("it is listed").len() <= 2);
        took[1] = began.elapsed();
        let began = Instant::now();
        let all = Revoke::Subject { subject: greedy.clone(), before: None, except: None };
        assert!(store.revoke(&all, now()).await.expect("they are revoked").len() <= 2);
        took[2] = began.elapsed();
        if turn > 0 {
            for (worst, took) in worst.iter_mut().zip(took) {
                *worst = (*worst).max(took);
            }
        }
    }
    // The statistics of its connections are complete once they are closed.
    own.close().await;
    let sql = format!(
        "SELECT (seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_user_tables \
         WHERE schemaname = '{name}' AND relname = 'sliding_sessions'"
    );
    let mut scanned: i64 = 0;
    while scanned < 24 {
        let sql = AssertSqlSafe(sql.clone());
        scanned = sqlx::query_scalar(sql).fetch_one(&mut admin).await.expect("the server knows");
    }
    println!(
        "PostgreSQL: with {MANY} revoked sessions of the account, at worst: sign-in with a cap {:?}, list {:?}, \
         revoke all {:?}; {scanned} rows read in all",
        worst[0], worst[1], worst[2]
    );
    assert!(scanned < 5_000, "{scanned} rows were read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocation_of_very_many_sessions_is_one_event_and_its_repetition_none() {
    let name = schema().await;
    let store = PostgresStore::connect_in_schema(&url(), &name).await.expect("it starts");
    let (greedy, other) = (subject("greedy"), open(&store, now()).await);
    for _ in 0..300 {
        store.create(&greedy, &record(now()), None).await.expect("it is created");
    }
    let all = Revoke::Subject { subject: greedy.clone(), before: None, except: None };
    for _ in 0..5 {
        store.revoke(&all, now()).await.expect("they are revoked");
    }
    for _ in 0..5 {
        store.revoke(&Revoke::Session(other.clone()), now()).await.expect("it is revoked");
    }
    let feed = store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read");
    assert_eq!(feed.events.len(), 2, "{:?}", feed.events);
    assert!(matches!(&feed.events[0], FeedEvent::SubjectRevoked { subject, .. } if *subject == greedy));
    assert_eq!(feed.events[1], FeedEvent::Revoked(other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn higher_of_two_concurrent_raises_stays_sixty_times() {
    let name = schema().await;
    let connect = async || PostgresStore::connect_in_schema(&url(), &name).await;
    let (one, two) = (connect().await.expect("it starts"), connect().await.expect("it starts"));
    let mut highest = one.raise_run_id(LOWEST).await.expect("there is a run");
    for turn in 0..60 {
        let (low, high) = (highest.next(), highest.next().next());
        let (first, second) = if turn % 2 == 0 { (low, high) } else { (high, low) };
        let (first, second) = tokio::join!(one.raise_run_id(first), two.raise_run_id(second));
        assert_eq!(first.expect("it is raised").max(second.expect("it is raised")), high);
        assert_eq!(one.raise_run_id(LOWEST).await.expect("it is read"), high);
        highest = high;
    }
}
