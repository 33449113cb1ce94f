//! Load on many sessions must not affect sessions that no client signs out.
//!
//! `TEST_POOLER_SECONDS` sets the length of each run in seconds (default 5).

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};
use tower_sliding_sessions::store::{
    Cap, CreateError, FeedEvent, PostgresStore, Revoke, SessionKey, SessionStore as _, StoreError,
};

use crate::{
    pooler, records,
    server::{now, record, schema, subject, url},
    without_cache,
};

const BYSTANDERS: usize = 20;

fn duration() -> Duration {
    let seconds = std::env::var("TEST_POOLER_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

/// The results of the load.
#[derive(Debug, Default)]
struct Counts {
    done: u64,
    /// Calls that returned success without effect.
    untrue: u64,
    errors: Vec<String>,
}

impl Counts {
    fn note<T>(&mut self, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.done += 1;
                Some(answer)
            }
            Err(error) => {
                self.errors.push(format!("{error:?}"));
                None
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.untrue += other.untrue;
        self.errors.extend(other.errors);
    }
}

/// Uses a session in every way that does not revoke it.
async fn use_it(store: PostgresStore, key: SessionKey, until: Instant) -> Counts {
    let (mut counts, mut generation) = (Counts::default(), 0);
    while Instant::now() < until {
        if let Some(answer) = counts.note(store.advance(&key, generation, now()).await) {
            let now_at = answer.record.expect("it is there").generation();
            counts.untrue += u64::from(answer.applied != (now_at == generation + 1));
            generation = now_at;
        }
        let Some(read) = counts.note(store.get(&key).await) else { continue };
        let record = records::confirmed(&read.record.expect("it is there"), now());
        counts.note(store.replace(&key, read.version, &record, None).await);
        if let Some(list) = counts.note(store.list(&key.subject, now()).await) {
            counts.untrue += u64::from(list.len() != 1);
        }
        counts.note(store.mark_stale(&FeedEvent::SessionStale(key.clone(), now())).await);
    }
    counts
}

/// Opens sessions and signs them out, and checks the result on the server without the pooler.
async fn sign_out(store: PostgresStore, direct: PostgresStore, name: usize, until: Instant) -> Counts {
    let (mut counts, subject) = (Counts::default(), subject(format!("leaver-{name}")));
    let cap = Some(Cap::RevokeOldest(2));
    for turn in 0.. {
        if Instant::now() >= until {
            break;
        }
        let record = record(now());
        match store.create(&subject, &record, cap).await {
            Ok(_) => counts.done += 1,
            Err(CreateError::Store(error)) => {
                counts.errors.push(format!("{error:?}"));
                continue;
            }
            Err(error) => panic!("{error:?}"),
        }
        let key = SessionKey { subject: subject.clone(), id: record.id() };
        let what = if turn % 2 == 0 {
            Revoke::Session(key.clone())
        } else {
            Revoke::Subject { subject: subject.clone(), before: None, except: None }
        };
        if counts.note(store.revoke(&what, now()).await).is_some() {
            let stored = direct.get(&key).await.expect("the server answers").record.expect("it is kept");
            counts.untrue += u64::from(!stored.is_revoked());
        }
    }
    counts
}

async fn sessions_survive_load(address: String, what: &str) {
    let schema = schema().await;
    let direct = PostgresStore::connect_in_schema(&url(), &schema).await.expect("the server answers");
    let mut keys = Vec::new();
    for bystander in 0..BYSTANDERS {
        let (subject, record) = (subject(format!("bystander-{bystander}")), record(now()));
        direct.create(&subject, &record, None).await.expect("it is created");
        keys.push(SessionKey { subject, id: record.id() });
    }
    // Two instances, as in a deployment.
    let mut stores = Vec::new();
    for _ in 0..2 {
        let store = PostgresStore::connect_in_schema(&address, &schema).await;
        stores.push(store.expect("the pooler answers"));
    }
    let (until, mut load) = (Instant::now() + duration(), JoinSet::new());
    for (key, store) in keys.iter().zip(stores.iter().cycle()) {
        load.spawn(use_it(store.clone(), key.clone(), until));
    }
    for (turn, store) in stores.iter().cycle().take(10).enumerate() {
        load.spawn(sign_out(store.clone(), direct.clone(), turn, until));
    }
    let mut counts = Counts::default();
    for part in load.join_all().await {
        counts.add(part);
    }
    let mut live = 0;
    for key in &keys {
        let record = direct.get(key).await.expect("the server answers").record.expect("it is kept");
        live += usize::from(!record.is_revoked());
    }
    println!(
        "PgBouncer, {what}: {live} of {BYSTANDERS} bystanders live after {:?} and {} calls; {} said done \
         and were not; {} errors",
        duration(),
        counts.done,
        counts.untrue,
        counts.errors.len()
    );
    assert_eq!(live, BYSTANDERS);
    assert_eq!(counts.untrue, 0);
    assert!(counts.errors.is_empty(), "{:?}", counts.errors.first());
    assert!(counts.done > 100, "the load was too small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_not_signed_out_survive_load_with_the_default_statement_cache() {
    sessions_survive_load(pooler(), "default statement cache").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_not_signed_out_survive_load_without_a_statement_cache() {
    sessions_survive_load(without_cache(), "no statement cache").await;
}
