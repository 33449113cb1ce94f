//! What an operation asks of Redis does not depend on how many sessions and events there are. Commands are counted, not
//! time.

use std::collections::BTreeMap;

use tower_sliding_sessions::store::{
    Cap, FeedEvent, FeedFrom, RedisStore, Revoke, SessionKey, SessionStore as _, Subject,
};

use super::{HOUR, now, open, record, server::Server, store_at, subject};

/// How many sessions of other users there are before the first and before the second count.
const FEW: usize = 50;
const MANY: usize = 4000;
/// How many sessions one user has.
const OF_ONE: usize = 1000;

type Commands = BTreeMap<String, u64>;

/// How often the server has run each command, also inside of scripts.
async fn commands(server: &Server) -> Commands {
    let text: String = server.ask("INFO commandstats").await;
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        // Those of the test's own connections.
        let own = ["info", "client", "hello", "config", "command"].iter().any(|own| name.starts_with(own));
        (!own).then(|| Some((name.to_owned(), rest.split_once(',')?.0.parse().ok()?)))?
    };
    text.lines().filter_map(line).collect()
}

async fn count(server: &Server, call: impl AsyncFn()) -> Commands {
    // The server learns the script.
    call().await;
    let before = commands(server).await;
    call().await;
    let mut after = commands(server).await;
    for (name, calls) in before {
        let count = after.entry(name).or_default();
        *count -= calls;
    }
    after.retain(|_, calls| *calls > 0);
    after
}

async fn fill(store: &RedisStore, sessions: usize, of: Option<&Subject>) {
    let mut filling = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, of) = (store.clone(), of.cloned());
        filling.spawn(async move {
            for _ in 0..sessions / 16 {
                open(&store, &of.clone().unwrap_or_else(subject)).await;
            }
        });
    }
    filling.join_all().await;
}

async fn end_of_feed(store: &RedisStore) -> String {
    let mut batch = store.feed(&FeedFrom::Since(now())).await.expect("the feed is read");
    while batch.more {
        batch = store.feed(&FeedFrom::After(batch.position)).await.expect("the feed is read");
    }
    batch.position
}

async fn counts(server: &Server, store: &RedisStore, crowd: &Subject) -> Vec<(&'static str, Commands)> {
    let one = open(store, &subject()).await;
    let place = std::sync::Mutex::new(end_of_feed(store).await);
    let of_crowd = store.list(crowd, now()).await.expect("they are listed");
    let fresh: Vec<_> = of_crowd.into_iter().filter(|record| record.generation() == 0).collect();
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let next = || {
        let id = fresh[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed)].id();
        SessionKey { subject: crowd.clone(), id }
    };
    let capped = subject();
    let create = async |subject: &Subject, cap| {
        store.create(subject, &record(now()), cap).await.expect("it is created");
    };
    create(&capped, None).await;
    let renew = async |key: SessionKey| {
        assert!(store.advance(&key, 0, now()).await.expect("it answers").applied);
    };
    let revoke = async |key: SessionKey| {
        assert_eq!(store.revoke(&Revoke::Session(key), now()).await.expect("it is revoked").len(), 1);
    };
    let read = async || {
        store.mark_stale(&FeedEvent::SubjectStale(subject(), now())).await.expect("it is marked");
        let from = FeedFrom::After(place.lock().expect("no panic").clone());
        let batch = store.feed(&from).await.expect("the feed is read");
        assert!(!batch.gap && !batch.more);
        *place.lock().expect("no panic") = batch.position;
    };
    vec![
        ("sign-in", count(server, async || create(&subject(), None).await).await),
        (
            "sign-in with a cap",
            count(server, async || create(&capped, Some(Cap::RevokeOldest(1))).await).await,
        ),
        ("reading", count(server, async || drop(store.get(&one).await.expect("it is read"))).await),
        (
            "listing",
            count(server, async || drop(store.list(&one.subject, now()).await.expect("it is listed"))).await,
        ),
        ("renewal of one of many", count(server, async || renew(next()).await).await),
        ("revocation of one of many", count(server, async || revoke(next()).await).await),
        ("next read of the feed", count(server, read).await),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_an_operation_do_not_depend_on_the_number_of_sessions_and_events() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let crowd = subject();
    fill(&store, OF_ONE, Some(&crowd)).await;
    fill(&store, FEW, None).await;
    let few = counts(&server, &store, &crowd).await;
    fill(&store, MANY, None).await;
    for _ in 0..3000 {
        store.mark_stale(&FeedEvent::SubjectStale(subject(), now())).await.expect("it is marked");
    }
    let many = counts(&server, &store, &crowd).await;
    println!("{many:#?}");
    assert_eq!(few, many);
    for (name, commands) in &many {
        let all: u64 = commands.values().sum();
        assert!(all <= 20, "{name} takes {all} commands: {commands:?}");
        let reads_all = commands.contains_key("hgetall") && !name.contains("cap");
        assert!(!reads_all && !commands.contains_key("keys") && !commands.contains_key("scan"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_read_of_a_long_feed_is_one_page_for_each_call() {
    const EVENTS: usize = 2500;
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    for _ in 0..EVENTS {
        store.mark_stale(&FeedEvent::SubjectStale(subject(), now())).await.expect("it is marked");
    }
    let before = commands(&server).await["xrange"];
    let first = store.feed(&FeedFrom::Since(now() - HOUR)).await.expect("the feed is read");
    // One reads the page, and one looks for what is too old.
    assert!(
        commands(&server).await["xrange"] - before <= 3,
        "a call that reads on may be late for its deadline"
    );
    assert!(first.more && !first.gap);
    let (mut read, mut from) = (first.events.len(), FeedFrom::After(first.position));
    loop {
        let batch = store.feed(&from).await.expect("the feed is read");
        assert!(!batch.gap);
        (read, from) = (read + batch.events.len(), FeedFrom::After(batch.position));
        if !batch.more {
            break;
        }
    }
    assert_eq!(read, EVENTS);
}
