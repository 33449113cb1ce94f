//! Each operation at several numbers of sessions. Where all sizes fit beside each other they are measured in turns, so
//! that a busy machine makes all of them slower.

use std::time::{Duration, Instant};

use tower_sliding_sessions::{
    Timestamp,
    store::{Cap, PostgresStore, Revoke, SessionKey, SessionStore, SqliteStore},
};

use crate::{
    Store,
    bulk::{CROWD, Home, Of, Place},
    process,
    records::{id, key, name, now, record, subject},
    report::{Samples, table},
};

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// How many sessions one user has.
const OF_ONE: u64 = 10_000;
const ROUNDS: u64 = 20;
/// How often each operation runs in a round.
const TIMES: u64 = 25;
/// Rounds with a user of 10,000 sessions, and with as many expired ones.
const LARGE_ROUNDS: u64 = 5;

struct World<S> {
    place: Place<S>,
    size: u64,
    /// The next session that was not renewed or revoked, and the next number without a session.
    old: u64,
    new: u64,
    samples: Samples,
}

pub(crate) async fn report<S: Store>(open: impl AsyncFn(usize) -> Place<S>) {
    println!("Load of the machine before: {}", process::load());
    let is_shared = matches!(open(0).await.home, Home::Memcached(_));
    let (mut all, mut finished) = (Vec::new(), Vec::new());
    for (number, size) in SIZES.into_iter().enumerate() {
        let place = open(number).await;
        let (before, began) = (place.bytes().await, Instant::now());
        place.fill(0..size, Of::Many).await;
        let took = began.elapsed();
        let each = (place.bytes().await - before) / i64::try_from(size).expect("a number");
        println!("{size} sessions: {each} bytes each, filled in {:.1} s", took.as_secs_f64());
        let mut world = World { place, size, old: 0, new: 10_000_000, samples: Samples::default() };
        if is_shared {
            // One server has one table for all keys, so the sizes are measured one after the other.
            for _ in 0..ROUNDS {
                world.round().await;
            }
            finished.push(world.samples);
        } else {
            all.push(world);
        }
    }
    for round in 0..ROUNDS {
        for world in &mut all {
            world.round().await;
            if round % (ROUNDS / LARGE_ROUNDS) == 0 && world.place.store.can_list() {
                world.large_round(round).await;
            }
        }
    }
    for world in &mut all {
        world.sweep_of_memory().await;
    }
    println!("Load of the machine after: {}\n", process::load());
    finished.extend(all.into_iter().map(|world| world.samples));
    table(&SIZES, &finished);
}

impl<S: Store> World<S> {
    async fn time<T>(&mut self, operation: &'static str, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = work.await;
        self.samples.add(operation, began.elapsed());
        answer
    }

    fn next_old(&mut self) -> SessionKey {
        self.old += 1;
        // All over the table.
        key((self.old * 7919) % self.size)
    }

    async fn sign_in(&mut self, operation: &'static str, cap: Option<Cap>, at: Timestamp) {
        self.new += 1;
        let (subject, record) = (subject(&name(self.new)), record(id(self.new), at));
        let store = self.place.store.clone();
        self.time(operation, store.create(&subject, &record, cap)).await.expect("it is created");
    }

    async fn round(&mut self) {
        let store = self.place.store.clone();
        for _ in 0..TIMES {
            self.sign_in("sign-in", None, now()).await;
            if store.can_list() {
                self.sign_in("sign-in with a cap", Some(Cap::RevokeOldest(5)), now()).await;
            }
            let key = self.next_old();
            let renewed = self.time("renewal", store.advance(&key, 0, now())).await;
            assert!(renewed.expect("it answers").applied);
            let key = self.next_old();
            assert!(self.time("reading", store.get(&key)).await.expect("it answers").record.is_some());
            if store.can_list() {
                let listed = self.time("listing", store.list(&key.subject, now())).await;
                assert_eq!(listed.expect("it answers").len(), 1);
            }
            let revoke = Revoke::Session(key);
            let revoked = self.time("revocation", store.revoke(&revoke, now())).await;
            assert_eq!(revoked.expect("it answers").len(), 1);
        }
    }

    /// A user with 10,000 sessions, and 10,000 expired sessions.
    async fn large_round(&mut self, round: u64) {
        let store = self.place.store.clone();
        let first = 100_000_000 + round * OF_ONE;
        self.place.fill(first..first + OF_ONE, Of::One).await;
        self.place.settle().await;
        let crowd = subject(CROWD);
        for number in 0..TIMES {
            let (one, other) = (id(first + number * 2), id(first + number * 2 + 1));
            let [one, other] = [one, other].map(|id| SessionKey { subject: crowd.clone(), id });
            let renewed = self.time("of 10,000: renewal", store.advance(&one, 0, now())).await;
            assert!(renewed.expect("it answers").applied);
            self.new += 1;
            let record = record(id(self.new), now());
            self.time("of 10,000: sign-in", store.create(&crowd, &record, None))
                .await
                .expect("it is created");
            let revoked =
                self.time("of 10,000: revocation", store.revoke(&Revoke::Session(other), now())).await;
            assert_eq!(revoked.expect("it answers").len(), 1);
        }
        let listed = self.time("of 10,000: listing", store.list(&crowd, now())).await.expect("it answers");
        assert_eq!(listed.len() as u64, OF_ONE);
        let all = Revoke::Subject { subject: crowd, before: None, except: None };
        let revoked = self.time("of 10,000: `revoke_all`", store.revoke(&all, now())).await;
        assert_eq!(revoked.expect("it answers").len() as u64, OF_ONE);
        self.sweep(round).await;
    }

    /// Each part of the store is swept by its first sign-in after a minute. So most of these sweep.
    async fn sweep_of_memory(&mut self) {
        if matches!(self.place.home, Home::Memory) {
            let later = now() + Duration::from_secs(61);
            for _ in 0..500 {
                self.sign_in("sign-in that sweeps", None, later).await;
            }
        }
    }

    async fn sweep(&mut self, round: u64) {
        let Some(sweep) = Sweep::of(&self.place.store) else { return };
        sweep.run().await;
        self.time("sweep, nothing expired", sweep.run()).await;
        let first = 200_000_000 + round * 10_000;
        self.place.fill(first..first + 10_000, Of::Expired).await;
        let swept = self.time("sweep, 10,000 expired", sweep.run()).await;
        assert!(swept > 0, "a sweep in the background may have had some");
    }
}

/// The stores that sweep by a call. In Redis and Memcached, keys expire.
enum Sweep {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Sweep {
    fn of<S: SessionStore + Clone>(store: &S) -> Option<Self> {
        let any: Box<dyn std::any::Any> = Box::new(store.clone());
        match any.downcast::<SqliteStore>() {
            Ok(store) => Some(Self::Sqlite(*store)),
            Err(any) => any.downcast::<PostgresStore>().ok().map(|store| Self::Postgres(*store)),
        }
    }

    async fn run(&self) -> u64 {
        let swept = match self {
            Self::Sqlite(store) => store.sweep(now()).await,
            Self::Postgres(store) => store.sweep(now()).await,
        };
        swept.expect("it is swept")
    }
}
