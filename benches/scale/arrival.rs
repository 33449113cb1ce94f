//! What revocations cost the instance that learns of them.

use std::{
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request, routing::get};
use tower::Service as _;
use tower_sliding_sessions::{
    Keyring, Session, Sessions,
    store::{FeedEvent, MemoryStore, RedisStore, SessionStore, sqlx},
};

use crate::{
    Store,
    bulk::{Home, Place},
    process,
    records::{id, key, now},
    report::{Samples, time},
    watched::Watched,
};

pub(crate) const EVENTS: u64 = 100_000;
const SECONDS: u64 = 10;

pub(crate) fn instance(store: impl SessionStore) -> Sessions<String> {
    let keys = Keyring::hs256("a secret of at least thirty-two bytes").expect("a secret");
    Sessions::builder(keys).realm("scale").store(store).build().expect("valid settings")
}

pub(crate) fn app(sessions: &Sessions<String>) -> Router {
    Router::new().route("/", get(async |_: Session<String>| "hello")).layer(sessions.layer())
}

pub(crate) async fn signed_in(sessions: &Sessions<String>) -> String {
    let visitor = sessions.visitor(&Request::new(())).expect("a visitor");
    let mut headers = axum::http::HeaderMap::new();
    visitor.sign_in("warm", String::new()).await.expect("signed in").apply(&mut headers);
    let lines = headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("ASCII"));
    lines.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}

pub(crate) async fn request(router: &mut Router, cookies: &str) {
    let request = Request::builder().header("cookie", cookies).body(Body::empty()).expect("a request");
    let response = router.call(request).await.expect("infallible");
    assert_eq!(response.status(), 200);
}

/// Warm requests, a thousand a second, until `done`. Returns the processor time that the process took meanwhile.
async fn requests(
    router: &mut Router,
    cookies: &str,
    samples: &mut Samples,
    phase: &'static str,
    done: impl Fn(Duration) -> bool,
) -> (Duration, Duration) {
    let (cpu, began) = (process::cpu(), Instant::now());
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !done(began.elapsed()) {
        ticks.tick().await;
        let sent = Instant::now();
        request(router, cookies).await;
        samples.add(phase, sent.elapsed());
    }
    (process::cpu().saturating_sub(cpu), began.elapsed())
}

pub(crate) async fn report<S: Store>(place: Place<S>, name: &str) {
    let store = Watched::new(place.store.clone());
    let told = store.told.clone();
    let sessions = instance(store);
    let (mut router, cookies) = (app(&sessions), signed_in(&sessions).await);
    while told.complete.lock().expect("no panic").is_none() {
        request(&mut router, &cookies).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut samples = Samples::default();
    let seconds = Duration::from_secs(SECONDS);
    let (idle, _) = requests(&mut router, &cookies, &mut samples, "before", |passed| passed >= seconds).await;
    let before = (told.events.load(Ordering::Relaxed), told.reads.load(Ordering::Relaxed));
    let events = || told.events.load(Ordering::Relaxed) - before.0;
    let writer = tokio::spawn(write(place, name.to_owned()));
    let late = seconds * 6;
    let done = |passed: Duration| events() >= EVENTS || passed > late;
    let (busy, took) = requests(&mut router, &cookies, &mut samples, "during", done).await;
    writer.await.expect("no panic");
    let cost = busy.as_secs_f64() - idle.as_secs_f64() * took.as_secs_f64() / seconds.as_secs_f64();
    println!("Load of the machine: {}", process::load());
    println!(
        "{} events within {:.1} s, in {} reads of the feed, {} gaps",
        events(),
        took.as_secs_f64(),
        told.reads.load(Ordering::Relaxed) - before.1,
        told.gaps.load(Ordering::Relaxed)
    );
    println!("processor time: {cost:.2} s, {:.1} us for each event", cost * 1e6 / 100_000.0);
    for phase in ["before", "during"] {
        let [median, p99] = [0.5, 0.99].map(|share| time(samples.quantile(phase, share)));
        println!("warm request {phase}: median {median}, p99 {p99}");
    }
    sessions.shutdown().await;
}

/// Writes the events at an even pace, so that the instance's own work is most of this process's. SQL stores get them in
/// the form in which they keep them, a hundred milliseconds' worth at once.
async fn write<S: Store>(place: Place<S>, name: String) {
    if let Home::Redis(_, url) = &place.home {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program).args(["publish", url]).spawn().expect("a process");
        let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic");
        assert!(status.expect("it ends").success(), "{name}");
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let each = EVENTS / (SECONDS * 10);
    for part in 0..SECONDS * 10 {
        ticks.tick().await;
        append(&place, part * each, (part + 1) * each).await;
    }
}

/// Adds the events of revoked sessions to the feed.
pub(crate) async fn append<S: Store>(place: &Place<S>, from: u64, to: u64) {
    let at = now().as_millis();
    match &place.home {
        Home::Sqlite(pool, _) => {
            let sql = format!(
                "WITH RECURSIVE all_n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM all_n WHERE n < {to} - 1) \
                 INSERT INTO sliding_sessions_feed (mark, kind, at, realm, subject, id) \
                 SELECT random(), 1, {at}, CAST('scale' AS BLOB), CAST(printf('user-%031d', n) AS BLOB), \
                 CAST(printf('%032d', n) AS BLOB) FROM all_n"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.expect("events");
        }
        Home::Postgres(pool, schema) => {
            let sql = format!(
                "INSERT INTO {schema}.sliding_sessions_feed (mark, kind, at, realm, subject, id) \
                 SELECT n, 1, {at}, 'scale', convert_to('user-' || lpad(n::text, 31, '0'), 'UTF8'), \
                 convert_to(lpad(n::text, 32, '0'), 'UTF8') \
                 FROM generate_series({from}::bigint, {to}::bigint - 1) AS n"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.expect("events");
        }
        _ => mark(&place.store, from, to).await,
    }
}

async fn mark<S: Store>(store: &S, from: u64, to: u64) {
    let mut marking = tokio::task::JoinSet::new();
    for part in 0..16 {
        let store = store.clone();
        marking.spawn(async move {
            for number in (from..to).filter(|number| number % 16 == part) {
                store.mark_stale(&FeedEvent::SessionStale(key(number), now())).await.expect("it is marked");
            }
        });
    }
    marking.join_all().await;
}

/// The writer of events in Redis, a process of its own.
pub(crate) async fn publish(arguments: &[String]) {
    let url = arguments.first().expect("a URL");
    let store = RedisStore::connect(url).await.expect("the server answers").with_prefix("scale");
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let each = EVENTS / (SECONDS * 100);
    for part in 0..SECONDS * 100 {
        ticks.tick().await;
        mark(&store, part * each, (part + 1) * each).await;
    }
}

/// The memory of the denylist.
pub(crate) async fn denylist() {
    for entries in [100_000_u64, 1_000_000] {
        let store = Watched::new(MemoryStore::new().expect("random bytes"));
        let told = store.told.clone();
        let sessions = instance(store);
        let (mut router, cookies) = (app(&sessions), signed_in(&sessions).await);
        let revoked = |number: u64| {
            let mut key = key(number);
            key.subject.realm = "scale".into();
            key.id = id(number);
            FeedEvent::Revoked(key)
        };
        while told.complete.lock().expect("no panic").is_none() {
            request(&mut router, &cookies).await;
            tokio::task::yield_now().await;
        }
        let before = process::memory();
        for first in (0..entries).step_by(1000) {
            let events = (first..first + 1000).map(revoked).collect();
            let injected = || told.injected.lock().expect("no panic");
            injected().push_back(events);
            while injected().len() > 10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // The next read of the feed takes them, within a second.
        while !told.injected.lock().expect("no panic").is_empty() {
            request(&mut router, &cookies).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let each = (process::memory() - before) / i64::try_from(entries).expect("a number");
        println!("{entries} entries: {each} bytes each");
        let mut samples = Samples::default();
        for _ in 0..20_000 {
            let sent = Instant::now();
            request(&mut router, &cookies).await;
            samples.add("warm", sent.elapsed());
        }
        println!("warm request: median {}", time(samples.quantile("warm", 0.5)));
        sessions.shutdown().await;
    }
}
