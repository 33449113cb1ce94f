//! Figures, printed by `cargo test ... figures -- --nocapture`.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use tower_sliding_sessions::{
    SessionId,
    store::{FeedFrom, RedisStore, Revoke, SessionKey, SessionStore as _, Subject, redis_client as redis},
};

use super::{now, open, record, records::edited, server::Server, store_at, subject};

async fn used_memory(server: &Server) -> usize {
    let info: String = server.ask("INFO memory").await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a figure");
    line.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_for_each_live_session() {
    let sessions: usize = std::env::var("SESSIONS").map_or(2_000, |text| text.parse().expect("a number"));
    for (options, at_most) in [(&[][..], 850), (&["--hash-max-listpack-value", "512"], 700)] {
        let server = Server::start(options).await;
        let store = store_at(&server.url()).await;
        open(&store, &subject()).await;
        let before = used_memory(&server).await;
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = store.clone();
            opening.spawn(async move {
                for _ in 0..sessions / 16 {
                    let mut name = SessionId::random().expect("random bytes").encode();
                    name.truncate(36);
                    let subject = Subject { realm: "default".into(), name: name.into() };
                    let record = edited(&record(now()), |json| json["methods"] = json!(["pwd"]));
                    store.create(&subject, &record, None).await.expect("a session");
                }
            });
        }
        opening.join_all().await;
        let each = (used_memory(&server).await - before) / sessions;
        println!("{each} bytes for each live session {options:?}");
        assert!(each < at_most, "{each} bytes for each session");
    }
}

/// What the server's processor spends on each kind of call, in microseconds. It does not depend on other work of
/// the machine: a server has one processor for commands, so it serves a million of these microseconds in a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_time_of_each_call() {
    let calls = std::env::var("CALLS").map_or(2_000, |text| text.parse().expect("a number"));
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let mut keys = Vec::new();
    let mut opening = JoinSet::new();
    for part in 0..32 {
        let store = store.clone();
        opening.spawn(async move {
            let mut opened = Vec::new();
            for _ in (part..calls).step_by(32) {
                opened.push(open(&store, &subject()).await);
            }
            opened
        });
    }
    keys.extend(opening.join_all().await.concat());
    let spent = async |what: &str, works: u64, work: &mut dyn FnMut() -> JoinSet<()>| {
        let before = processor(&server).await;
        work().join_all().await;
        let each = (processor(&server).await - before) * 1e6 / works as f64;
        println!("{what}: {each:.0} us");
        each
    };
    let keys = Arc::new(keys);
    let parts = || (0..32).map(|part| (store.clone(), keys.clone(), part));
    let rotation = spent("a rotation", calls, &mut || {
        let rotate = |(store, keys, part): (RedisStore, Arc<Vec<SessionKey>>, usize)| async move {
            for key in keys.iter().skip(part).step_by(32) {
                assert!(store.advance(key, 0, now()).await.expect("an answer").applied);
            }
        };
        parts().map(rotate).collect()
    })
    .await;
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    let revocation = spent("a revocation with its event", calls, &mut || {
        let revoke = |(store, keys, part): (RedisStore, Arc<Vec<SessionKey>>, usize)| async move {
            for key in keys.iter().skip(part).step_by(32) {
                store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer");
            }
        };
        parts().map(revoke).collect()
    })
    .await;
    // Readers who find 1, 50 or 1000 events.
    let mut positions = Vec::new();
    for events in [1_u64, 50, 1000] {
        let mut raw = server.connection().await.expect("a connection");
        let mut range = redis::cmd("XREVRANGE");
        range.arg("tss:{2}:feed").arg("+").arg("-").arg("COUNT").arg(events + 1);
        let range: Vec<(String, Vec<String>)> = range.query_async(&mut raw).await.expect("an answer");
        let history = start.split_once(' ').expect("a position").1;
        positions.push((events, format!("{} {history}", range.last().expect("an entry").0)));
    }
    for (events, position) in positions {
        spent(&format!("a read of {events} events"), 80, &mut || {
            let (store, position) = (store.clone(), position.clone());
            let read = move |_| {
                let (store, position) = (store.clone(), position.clone());
                async move {
                    for _ in 0..10 {
                        let from = FeedFrom::After(position.clone());
                        let batch = store.feed(&from).await.expect("the feed");
                        assert!(!batch.gap && batch.events.len() as u64 >= events.min(999), "{batch:?}");
                    }
                }
            };
            (0..8).map(read).collect()
        })
        .await;
    }
    assert!(rotation < 1000.0 && revocation < 1000.0);
}

async fn processor(server: &Server) -> f64 {
    let seconds = async |name| server.info("cpu", name).await.parse::<f64>().expect("a number");
    seconds("used_cpu_user").await + seconds("used_cpu_sys").await
}
