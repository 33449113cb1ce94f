//! One account with very many revoked sessions costs other accounts nothing; files of the first version.

use serde_json::json;
use tower_sliding_sessions::{
    RunId, SessionId,
    store::{
        FeedEvent, FeedFrom, Revoke, SessionKey, SessionStore as _, SqliteStore,
        sqlx::{
            self, SqlitePool,
            sqlite::{SqliteConnectOptions, SqlitePoolOptions},
        },
    },
};

use crate::file::{DAY, Folder, LOWEST, now, open, record, subject, unique};
use crate::records::read;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_of_a_subject_use_the_index_of_live_sessions() {
    let folder = Folder::new();
    drop(SqliteStore::open(&folder.file()).await.expect("it opens"));
    let admin = SqlitePool::connect(&folder.file()).await.expect("it opens");
    let subject = "realm = x'00' AND subject = x'00' AND NOT revoked \
         AND run = (SELECT run FROM sliding_sessions_meta)";
    for statement in [
        format!(
            "SELECT id FROM sliding_sessions WHERE {subject} AND 5 < idle_deadline ORDER BY created_at, id"
        ),
        format!(
            "UPDATE sliding_sessions SET revoked = 1 WHERE {subject} AND (NULL IS NULL OR id = NULL) \
             AND (5 IS NULL OR created_at < 5) RETURNING id"
        ),
    ] {
        let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sql).fetch_all(&admin).await.expect("it is planned");
        let plan: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
        assert!(plan.iter().any(|step| step.contains("sliding_sessions_live")), "{plan:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocation_of_very_many_sessions_is_one_event_and_its_repetition_none() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let (greedy, other) = (subject(unique()), open(&store, now()).await);
    for _ in 0..100 {
        store.create(&greedy, &record(now()), None).await.expect("it is created");
    }
    let all = Revoke::Subject { subject: greedy.clone(), before: None, except: None };
    for _ in 0..5 {
        store.revoke(&all, now()).await.expect("they are revoked");
        store.revoke(&Revoke::Session(other.clone()), now()).await.expect("it is revoked");
    }
    let feed = store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read");
    assert_eq!(feed.events.len(), 2, "{:?}", feed.events);
    assert!(matches!(&feed.events[0], FeedEvent::SubjectRevoked { subject, .. } if *subject == greedy));
    assert_eq!(feed.events[1], FeedEvent::Revoked(other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn higher_of_two_concurrent_raises_stays_sixty_times() {
    let folder = Folder::new();
    let one = SqliteStore::open(&folder.file()).await.expect("it opens");
    let two = SqliteStore::open(&folder.file()).await.expect("it opens");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_of_the_first_version_keeps_its_sessions() {
    let folder = Folder::new();
    let options = SqliteConnectOptions::new().filename(folder.file()).create_if_missing(true);
    let admin = SqlitePoolOptions::new().connect_with(options).await.expect("it opens");
    sqlx::raw_sql(include_str!("../../src/store/sqlite/migration_1.sql"))
        .execute(&admin)
        .await
        .expect("tables");
    sqlx::raw_sql(
        "INSERT INTO sliding_sessions_meta (one, version, run) VALUES (1, 1, -5); \
         INSERT INTO sliding_sessions_feed (mark, kind, at, id) \
         VALUES (1, 4, unixepoch() * 1000, x'fffffffffffffffb')",
    )
    .execute(&admin)
    .await
    .expect("the tables of the first version");
    let id = SessionId::random().expect("random bytes");
    sqlx::query(
        "INSERT INTO sliding_sessions (realm, subject, id, run, dies_at, generation, confirmed_at, created_at, \
         idle_timeout, idle_deadline, absolute_deadline, revoked, claims, persistent) \
         VALUES (CAST('test' AS BLOB), CAST('old' AS BLOB), ?1, -5, ?2 + ?3, 3, ?2, ?2, ?3, ?2 + ?3, ?2 + ?3, 0, \
         CAST('null' AS BLOB), 1)",
    )
    .bind(id.as_bytes().as_slice())
    .bind(i64::try_from(now().as_millis()).expect("a time"))
    .bind(i64::try_from(DAY.as_millis()).expect("a duration"))
    .execute(&admin)
    .await
    .expect("a session of the first version");
    admin.close().await;

    let store = SqliteStore::open(&folder.file()).await.expect("it is migrated");
    let key = SessionKey { subject: subject("old"), id };
    let snapshot = store.get(&key).await.expect("it is read");
    let record = snapshot.record.expect("the session exists");
    assert_eq!((record.generation(), &read(&record)["persistent"]), (3, &json!(true)));
    assert!(snapshot.run > RunId::at(now() - DAY, 0) && snapshot.run < RunId::at(now() + DAY, 0));
    let feed = store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read");
    assert!(feed.events.is_empty(), "no run ID of the first version: {:?}", feed.events);
    assert!(store.replace(&key, snapshot.version, &record, None).await.expect("it is written").applied);
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked"), [id]);
}
