//! The keys and their lifetimes, and the round trips of each operation.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tower_sliding_sessions::store::{
    Cap, FeedEvent, FeedFrom, RedisStore, Revoke, SessionKey, SessionStore as _, Subject, conformance,
    redis_client::{Client, cmd},
};

use super::{
    HOUR, confirm, end, now, open, proxy::Proxy, record, records::edited, server::Server, store, store_at,
    subject, unique, url,
};

async fn ttl(key: &str) -> Duration {
    let client = Client::open(url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let ttl: i64 = cmd("PTTL").arg(key).query_async(&mut connection).await.expect("an answer");
    Duration::from_millis(
        u64::try_from(ttl).unwrap_or_else(|_| panic!("{key} has no expiry, or does not exist")),
    )
}

async fn keys(prefix: &str) -> Vec<String> {
    let client = Client::open(url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let (mut found, mut cursor) = (Vec::new(), 0_u64);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}:*")).arg("COUNT").arg(10_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await.expect("an answer");
        found.extend(keys);
        cursor = next;
        if cursor == 0 {
            return found;
        }
    }
}

#[tokio::test]
async fn each_key_expires_when_it_may_and_not_earlier() {
    let prefix = unique();
    let store = store_at(&url()).await.with_prefix(&prefix);
    let key = open(&store, &subject()).await;
    let cap = Some(Cap::RevokeOldest(1));
    store.create(&subject(), &record(now()), cap).await.expect("a session");
    store.feed(&FeedFrom::Since(now())).await.expect("the feed");
    for sessions in sessions_of(&prefix).await {
        let left = ttl(&sessions).await;
        assert!(left > HOUR && left <= HOUR + Duration::from_secs(300), "until the idle deadline: {left:?}");
    }
    end(&store, &key).await;
    assert!(!store.advance(&key, 0, now()).await.expect("an answer").applied);
    let all = keys(&prefix).await;
    assert_eq!(all.len(), 4, "a live session, a revoked one, the run ID, the feed: {all:?}");
    let mut longest = Duration::ZERO;
    for key in &all {
        let left = ttl(key).await;
        longest = longest.max(if key.ends_with(":run") { Duration::ZERO } else { left });
    }
    assert!(longest <= HOUR * 48);
    let [revoked] = all.iter().filter(|key| key.split(':').count() == 4).collect::<Vec<_>>()[..] else {
        panic!("{all:?}")
    };
    let left = ttl(revoked).await;
    assert!(
        left > HOUR * 24 - Duration::from_secs(60),
        "a revoked session until its absolute deadline: {left:?}"
    );
    assert!(left <= HOUR * 24 + Duration::from_secs(300), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scripts_use_one_slot_in_a_cluster() {
    // One node that has all slots still refuses a script with keys of two slots.
    // By default, the cluster's own port is 10,000 higher, where an outgoing connection may have it.
    let cluster_port = crate::port::free_port().to_string();
    let server = Server::start(&["--cluster-enabled", "yes", "--cluster-port", &cluster_port]).await;
    let () = server.ask("CLUSTER ADDSLOTSRANGE 0 16383").await;
    while !server.ask::<String>("CLUSTER INFO").await.contains("cluster_state:ok") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let store = RedisStore::cluster([server.url()]).await.expect("a cluster");
    conformance::run(async || store.clone()).await;

    let store = store.with_prefix("slots");
    let subject = Subject { realm: "}{:".into(), name: "{a}:☕".into() };
    for _ in 0..3 {
        open(&store, &subject).await;
    }
    end(&store, &open(&store, &subject).await).await;
    let keys: Vec<String> = server.ask("KEYS slots:*").await;
    assert_eq!(keys.len(), 4, "live sessions, a revoked one, the run ID, the feed: {keys:?}");
    let mut slots = HashSet::new();
    for key in keys {
        slots.insert(server.ask::<u64>(&format!("CLUSTER KEYSLOT {key}")).await);
    }
    assert_eq!(slots.len(), 1, "a script touches keys of one slot");
}

/// The number of round trips of `work`.
async fn trips<T>(proxy: &Proxy, work: impl Future<Output = T>) -> usize {
    let before = proxy.trips();
    work.await;
    proxy.trips() - before
}

#[tokio::test]
async fn each_operation_is_one_round_trip() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let store = store_at(&proxy.url()).await;
    let subject = subject();
    // The server caches the scripts.
    let first = open(&store, &subject).await;
    for _ in 0..2 {
        store.advance(&first, 0, now()).await.expect("an answer");
        confirm(&store, &first).await;
    }
    store.list(&subject, now()).await.expect("an answer");
    let mark = FeedEvent::SubjectStale(subject.clone(), now());
    store.mark_stale(&mark).await.expect("an answer");
    end(&store, &first).await;
    store
        .revoke(&Revoke::Subject { subject: subject.clone(), before: None, except: None }, now())
        .await
        .expect("an answer");
    let run = store.get(&first).await.expect("an answer").run;

    let new = record(now());
    let key = SessionKey { subject: subject.clone(), id: new.id() };
    let created = trips(&proxy, store.create(&subject, &new, None)).await;
    let read = store.get(&key).await.expect("an answer");
    let record = edited(&read.record.expect("the session exists"), |json| json["persistent"] = json!(true));
    let event = FeedEvent::SessionStale(key.clone(), now());
    let replaced = trips(&proxy, store.replace(&key, read.version, &record, Some(&event))).await;
    let expected = [
        ("create", created),
        ("replace, with an event", replaced),
        ("replace, a conflict", trips(&proxy, store.replace(&key, read.version, &record, None)).await),
        ("advance", trips(&proxy, store.advance(&key, 0, now())).await),
        ("advance, lost", trips(&proxy, store.advance(&key, 0, now())).await),
        ("get", trips(&proxy, store.get(&key)).await),
        ("list", trips(&proxy, store.list(&subject, now())).await),
        ("mark_stale", trips(&proxy, store.mark_stale(&mark)).await),
        ("revoke", trips(&proxy, store.revoke(&Revoke::Session(key.clone()), now())).await),
        ("raise_run_id", trips(&proxy, store.raise_run_id(run)).await),
    ];
    for (what, counted) in expected {
        println!("{what}: {counted} round trips");
        assert_eq!(counted, 1, "{what}");
    }
}

#[tokio::test]
async fn reader_that_falls_behind_gets_a_gap() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let key = open(&store, &subject()).await;
    end(&store, &key).await;
    let here = store.feed(&FeedFrom::Since(now())).await.expect("the feed");
    assert!(!here.gap && here.events == [FeedEvent::Revoked(key)]);
    for _ in 0..3 {
        end(&store, &open(&store, &subject()).await).await;
    }
    let _: i64 = server.ask("XTRIM tss:{2}:feed MAXLEN 1").await;
    let batch = store.feed(&FeedFrom::After(here.position)).await.expect("the feed");
    assert!(batch.gap && batch.events.len() == 1, "{batch:?}");
    assert!(store.feed(&FeedFrom::Since(now() - HOUR)).await.expect("the feed").gap, "its start is gone");
    let end_of_it = store.feed(&FeedFrom::After(batch.position)).await.expect("the feed");
    assert!(!end_of_it.gap && end_of_it.events.is_empty());
    // And a reader whose whole feed was deleted, even if there is a new one.
    for replaced in [false, true] {
        let here = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
        let _: i64 = server.ask("DEL tss:{2}:feed").await;
        if replaced {
            end(&store, &open(&store, &subject()).await).await;
        }
        assert!(store.feed(&FeedFrom::After(here)).await.expect("the feed").gap);
        end(&store, &open(&store, &subject()).await).await;
    }
}

#[tokio::test]
async fn subjects_leave_the_feed_after_a_day_even_without_new_events() {
    const HOURS: u64 = 60 * 60 * 1000;
    let server = Server::start(&[]).await;
    let feed = "tss:{2}:feed";
    let event = |name: &str| {
        let id = record(now()).id().encode();
        format!(r#"{{"revoked":{{"realm":"test","sub":"{name}","sid":"{id}"}}}}"#)
    };
    // Each in its own hour, as if the feed had been busy until yesterday, with one event since.
    let mut old = 250;
    for place in 0..old {
        let time = now().as_millis() - 25 * HOURS + place;
        let _: String = server.ask(&format!("XADD {feed} {time}-0 e {}", event("ann"))).await;
    }
    let recent = now().as_millis() - HOURS / 2;
    let _: String = server.ask(&format!("XADD {feed} {recent}-0 e {}", event("bob"))).await;

    let store = store_at(&server.url()).await;
    let here = store.feed(&FeedFrom::Since(now() - HOUR / 3)).await.expect("the feed");
    assert!(!here.gap && here.events.len() == 1, "only older events were removed: {here:?}");
    let mut from = here.position;
    while old > 1 {
        let batch = store.feed(&FeedFrom::After(from)).await.expect("the feed");
        assert!(!batch.gap && batch.events.is_empty(), "{batch:?}");
        from = batch.position;
        let left: Vec<(String, Vec<String>)> = server.ask(&format!("XRANGE {feed} - +")).await;
        let left = left.iter().filter(|(_, event)| event[1].contains("ann")).count() as u64;
        assert!(left < old, "each read removes some");
        old = left.max(1);
    }
    let dump = format!("{:?}", server.ask::<Vec<(String, Vec<String>)>>(&format!("XRANGE {feed} - +")).await);
    // With the quotes, because session IDs may have these letters by chance.
    assert!(!dump.contains(r#"\"ann\""#) && dump.contains(r#"\"bob\""#));
    end(&store, &open(&store, &subject()).await).await;
    assert!(server.ask::<i64>(&format!("PTTL {feed}")).await > 0, "the feed has an expiry");
}

#[tokio::test]
async fn second_or_unknown_revocation_writes_no_event() {
    let store: RedisStore = store().await;
    let (subject, from) = (subject(), store.feed(&FeedFrom::Since(now())).await.expect("the feed").position);
    let key = open(&store, &subject).await;
    end(&store, &key).await;
    let unknown = SessionKey { subject: subject.clone(), id: record(now()).id() };
    for what in [
        Revoke::Session(key.clone()),
        Revoke::Session(unknown),
        Revoke::Subject { subject, before: None, except: None },
    ] {
        assert!(store.revoke(&what, now()).await.expect("an answer").is_empty(), "revoked before");
    }
    let batch = store.feed(&FeedFrom::After(from)).await.expect("the feed");
    assert_eq!(batch.events, [FeedEvent::Revoked(key)]);
}

#[tokio::test]
async fn subject_with_many_expired_sessions_is_swept() {
    let prefix = unique();
    let store = store_at(&url()).await.with_prefix(&prefix);
    let (subject, past) = (subject(), now() - HOUR * 3);
    let kept = open(&store, &subject).await;
    for _ in 0..100 {
        store.create(&subject, &record(past), None).await.expect("a session");
    }
    for _ in 0..40 {
        open(&store, &subject).await;
    }
    let client = Client::open(url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let [key]: [String; 1] = sessions_of(&prefix).await.try_into().unwrap_or_else(|keys| panic!("{keys:?}"));
    let left: usize = cmd("HLEN").arg(key).query_async(&mut connection).await.expect("an answer");
    assert!(left < 100, "{left} records are left");
    assert!(store.get(&kept).await.expect("an answer").record.is_some());
    assert_eq!(store.list(&subject, now()).await.expect("an answer").len(), 41);
}

async fn sessions_of(prefix: &str) -> Vec<String> {
    let keys = keys(prefix).await.into_iter();
    keys.filter(|key| !key.ends_with(":run") && !key.ends_with(":feed") && key.split(':').count() == 3)
        .collect()
}
