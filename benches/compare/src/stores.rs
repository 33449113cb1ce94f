//! Renewals over HTTP: each advances another session, in each kind of store.

use std::{env, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tower_sliding_sessions::{
    Clock as _, ManualClock, Sessions, SystemClock,
    store::{MemoryStore, PostgresStore, RedisStore, SessionStore, SqliteStore},
};

use crate::{
    load::{Load, Server, client, pooled, run},
    own,
    rounds::median,
    work::{Profile, SUBJECT, cookies},
};

const ROUNDS: usize = 5;

pub struct Found {
    pub loads: Vec<Load>,
    pub evalsha: Option<f64>,
}

pub fn over_http() -> Found {
    let server = Server::new();
    let mut loads = Vec::new();
    let memory = || MemoryStore::new().expect("random bytes");
    loads.extend(renewals(&server, "memory", 8000, memory));
    let folder = env::temp_dir().join(format!("compare-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let sqlite =
        || server.block_on(SqliteStore::open(&folder.join("sessions.db").to_string_lossy())).expect("a file");
    loads.extend(renewals(&server, "SQLite", 2000, sqlite));
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    if let Ok(url) = env::var("TEST_POSTGRES_URL") {
        let postgres = || server.block_on(PostgresStore::connect(&url)).expect("a server");
        loads.extend(renewals(&server, "PostgreSQL", 2000, postgres));
    }
    let mut evalsha = None;
    if let Ok(url) = env::var("TEST_REDIS_URL") {
        let redis = || server.block_on(RedisStore::connect(&url)).expect("a server");
        loads.extend(renewals(&server, "Redis", 8000, redis));
        evalsha = Some(bare_evalsha(&url));
    }
    Found { loads, evalsha }
}

fn renewals<S: SessionStore>(
    server: &Server,
    name: &'static str,
    each: usize,
    store: impl Fn() -> S,
) -> Vec<Load> {
    [1, 64]
        .into_iter()
        .map(|connections| {
            let each = if connections == 1 { each / 4 } else { each };
            pooled((0..ROUNDS).map(|_| one_round(server, name, connections, each, store())).collect())
        })
        .collect()
}

fn one_round(
    server: &Server,
    name: &'static str,
    connections: usize,
    each: usize,
    store: impl SessionStore,
) -> Load {
    // In the past, so that an advance does not look to the store like one by a clock behind.
    let clock = Arc::new(ManualClock::new(SystemClock.now() - Duration::from_secs(6 * 60)));
    let sessions: Sessions<Profile> = server.within(|| {
        let builder = Sessions::builder(own::hs256()).clock(clock.clone()).store(store);
        builder.store_deadline(Duration::from_secs(10)).build().expect("valid settings")
    });
    let requests = server.block_on(async {
        let mut opening = JoinSet::new();
        for part in 0..32 {
            let sessions = sessions.clone();
            opening.spawn(async move {
                let mut requests = Vec::new();
                for number in 0..each / 32 {
                    let subject = format!("{part:02}{number:06}{}", &SUBJECT[8..]);
                    let ours = own::cookie_of(&sessions, &subject).await;
                    requests.push(client::get(&cookies(&ours)));
                }
                requests
            });
        }
        opening.join_all().await.concat()
    });
    clock.advance(Duration::from_secs(6 * 60));
    let address = server.serve(server.within(|| own::app(&sessions)));
    // The first request reads the run ID.
    server.block_on(async { tokio::time::sleep(Duration::from_millis(300)).await });
    let load = run(name, address, connections, requests);
    server.block_on(sessions.shutdown());
    load
}

/// The most that Redis can do: a compare-and-set by a script, and nothing else.
fn bare_evalsha(url: &str) -> f64 {
    const SCRIPT: &str = "if redis.call('HGET', KEYS[1], 'g') == ARGV[1] then \
        redis.call('HSET', KEYS[1], 'g', ARGV[2]) return 1 end return 0";
    const TIMES: u32 = 1000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = redis::Client::open(url).expect("a URL");
        let connection = client.get_multiplexed_async_connection().await.expect("a server");
        let script = Arc::new(redis::Script::new(SCRIPT));
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let (mut running, start) = (JoinSet::new(), std::time::Instant::now());
            for number in 0..32 {
                let (mut connection, script) = (connection.clone(), script.clone());
                running.spawn(async move {
                    for step in 0..TIMES {
                        let mut call = script.key(format!("bare:{number}"));
                        let call = call.arg(step).arg(step + 1);
                        let _: i64 = call.invoke_async(&mut connection).await.expect("an answer");
                    }
                });
            }
            running.join_all().await;
            rates.push(f64::from(32 * TIMES) / start.elapsed().as_secs_f64());
        }
        median("EVALSHA", rates).ns
    })
}
