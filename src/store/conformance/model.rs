//! A long random history, told to the store and to a model built on the methods of
//! [`Family`](crate::protocol::Family): both must say the same.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use super::{
    reader::Reader,
    world::{ABSOLUTE, IDLE, World, assert_ended, id, reauthentication},
};
use crate::{
    store::{
        Cap, CreateError, FeedEvent, Revoke, SessionKey, SessionRecord, SessionStore, Snapshot, Subject,
    },
    time::Timestamp,
};

/// How many operations the history has.
const STEPS: u64 = 3000;

/// The environment variable that repeats a history: the number that a failure names.
const SEED: &str = "STORE_CONFORMANCE_SEED";

/// SplitMix64: small, seeded, and good enough to draw operations.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        let index = usize::try_from(self.roll(items.len() as u64)).unwrap_or_default();
        items.get(index).expect("there are items").clone()
    }
}

struct Model<S> {
    w: World<S>,
    dice: Dice,
    subjects: Vec<Subject>,
    sessions: Vec<(SessionKey, SessionRecord)>,
    now: Timestamp,
    events: Vec<FeedEvent>,
    /// What was marked stale. Whether its record says so is the store's affair, if it has a feed.
    marked: Vec<FeedEvent>,
}

pub(super) async fn random_history_matches_the_model<S: SessionStore>(w: World<S>) {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one("a seed"));
    // A failing assertion knows nothing of the seed; this is dropped while it unwinds.
    let _said = SayOnPanic(seed);
    let reader = Reader::at_the_end(&w).await;
    let subjects = (0..6).map(|_| w.subject()).collect();
    let (dice, now) = (Dice(seed), w.base);
    let mut model =
        Model { w, dice, subjects, sessions: Vec::new(), now, events: Vec::new(), marked: Vec::new() };
    for _ in 0..STEPS {
        model.step().await;
    }
    if let Some(mut reader) = reader {
        reader.find(&model.w, &model.events).await;
    }
}

struct SayOnPanic(u64);

impl Drop for SayOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the random history of seed {0} failed; {SEED}={0} repeats it", self.0);
        }
    }
}

impl<S: SessionStore> Model<S> {
    async fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1 + self.dice.roll(2000));
        let roll = self.dice.roll(100);
        if roll < 10 || self.sessions.is_empty() {
            return self.create().await;
        }
        match roll {
            10..14 if self.w.store.can_list() => self.list().await,
            14..16 => self.revoke_one().await,
            16 if self.w.store.can_list() => self.revoke_subject().await,
            17 if self.w.store.has_feed() => self.mark_stale().await,
            _ => self.change(roll).await,
        }
    }

    fn subject_of(&self, index: usize) -> &Subject {
        &self.session(index).0.subject
    }

    fn session(&self, index: usize) -> &(SessionKey, SessionRecord) {
        self.sessions.get(index).expect("it was drawn from the list")
    }

    /// Mostly one of the latest.
    fn any_session(&mut self) -> usize {
        let (len, latest) = (self.sessions.len() as u64, self.dice.roll(4) > 0);
        let back = self.dice.roll(if latest { len.min(12) } else { len });
        usize::try_from(len - 1 - back).unwrap_or_default()
    }

    /// Those of a subject that are live now, oldest first.
    fn live(&self, subject: &Subject) -> Vec<SessionRecord> {
        let of_subject = self.sessions.iter().filter(|(key, _)| key.subject == *subject);
        let mut live: Vec<_> = of_subject
            .map(|(_, record)| record.clone())
            .filter(|record| record.family.is_live(self.now))
            .collect();
        live.sort_by_key(|record| record.family.created_at);
        live
    }

    /// Whether a store may have forgotten a session by now.
    fn forgettable(&self, record: &SessionRecord) -> bool {
        let family = &record.family;
        self.now >= family.absolute_deadline || (!family.revoked && self.now >= family.idle_deadline)
    }

    fn ended(&mut self, id: crate::id::SessionId) {
        let (key, record) = self.sessions.iter_mut().find(|(key, _)| key.id == id).expect("it is known");
        assert!(record.family.revoke(), "the store ended {record:?} a second time");
        self.events.push(FeedEvent::Revoked(key.clone()));
    }

    async fn create(&mut self) {
        let subject = self.dice.pick(&self.subjects);
        let (idle, absolute) = self.dice.pick(&[(60, 180), (300, 600), (0, 0), (0, 0), (0, 0)]);
        let mut record = match idle {
            0 => self.w.record(self.now, IDLE, ABSOLUTE),
            _ => self.w.record(self.now, Duration::from_secs(idle), Duration::from_secs(absolute)),
        };
        let interval = Duration::from_millis(self.dice.pick(&[0, 0, 1, 1000, 60_000]));
        record.family.timing.rotation_interval = interval;
        let live = self.live(&subject);
        let limit = usize::try_from(1 + self.dice.roll(6)).unwrap_or(1);
        let cap = match self.dice.roll(3) {
            0 => Some(Cap::Refuse(limit)),
            1 => Some(Cap::RevokeOldest(limit)),
            _ => None,
        };
        let cap = cap.filter(|_| self.w.store.can_list());
        let taken = self.dice.roll(10) == 0;
        if let Some(old) = live.first().filter(|_| taken && cap.is_none()) {
            record.id = old.id;
            let created = self.w.create(&subject, &record, None).await;
            assert!(matches!(created, Err(CreateError::Exists)), "{created:?}");
            return;
        }
        let excess = cap.map_or(0, |cap| (live.len() + 1).saturating_sub(cap.limit()));
        let refused = excess > 0 && cap.is_some_and(Cap::refuses);
        match self.w.create(&subject, &record, cap).await {
            Ok((_, mut ended)) => {
                assert!(!refused, "{cap:?} does not admit one more than {}", live.len());
                let mut expected: Vec<_> = live.iter().take(excess).map(|record| record.id).collect();
                ended.sort_unstable();
                expected.sort_unstable();
                assert_eq!(ended, expected, "{cap:?}");
                ended.into_iter().for_each(|id| self.ended(id));
                self.sessions.push((SessionKey { subject, id: record.id }, record));
            }
            Err(CreateError::TooMany) => assert!(refused, "{cap:?} admits one more than {}", live.len()),
            Err(error) => panic!("{error} ({error:?})"),
        }
    }

    async fn list(&mut self) {
        let subject = self.dice.pick(&self.subjects);
        let listed = self.w.store.list(&subject, self.now).await.expect("the store can list");
        let live = self.live(&subject);
        assert_eq!(listed.len(), live.len());
        for (listed, expected) in listed.iter().zip(&live) {
            self.assert_same(&SessionKey { subject: subject.clone(), id: expected.id }, listed, expected);
        }
    }

    async fn revoke_one(&mut self) {
        let index = self.any_session();
        let (key, record) = self.session(index).clone();
        let ended = self.w.revoke(&key, self.now).await;
        assert!(!ended || !record.family.revoked, "ended a second time");
        assert!(ended || record.family.revoked || self.forgettable(&record), "{record:?} was not ended");
        if ended {
            self.ended(key.id);
        }
    }

    async fn revoke_subject(&mut self) {
        let index = self.any_session();
        let subject = self.subject_of(index).clone();
        let created = self.session(index).1.family.created_at;
        let before = Some(created).filter(|_| self.dice.roll(2) == 0);
        let except = Some(self.session(index).0.id).filter(|_| self.dice.roll(2) == 0);
        let what = Revoke::Subject { subject: subject.clone(), before, except };
        let ended = self.w.end(&what, self.now).await;
        let named = |record: &SessionRecord| {
            Some(record.id) != except && before.is_none_or(|before| record.family.created_at < before)
        };
        let due = self.live(&subject).into_iter().filter(named);
        due.for_each(|record| assert!(ended.contains(&record.id), "{record:?} was not ended by {what:?}"));
        for id in &ended {
            let of_subject = |key: &SessionKey| key.id == *id && key.subject == subject;
            let hit = self.sessions.iter().find(|(key, _)| of_subject(key));
            assert!(hit.is_some_and(|(_, record)| named(record)), "{what:?} ended {id:?}");
            self.ended(*id);
        }
    }

    async fn mark_stale(&mut self) {
        let index = self.any_session();
        let key = self.session(index).0.clone();
        let event = if self.dice.roll(2) == 0 {
            FeedEvent::SessionStale(key, self.now)
        } else {
            FeedEvent::SubjectStale(key.subject, self.now)
        };
        self.w.mark_stale(&event).await;
        self.events.push(event.clone());
        self.marked.push(event);
    }

    /// One of the operations on a single record, at a time that another instance's clock may say.
    async fn change(&mut self, roll: u64) {
        let index = self.any_session();
        let (mut key, mut record) = self.session(index).clone();
        if roll == 99 {
            key.id = id();
            return assert!(self.w.get(&key).await.record.is_none());
        }
        let (w, family) = (self.w.clone(), &mut record.family);
        let behind = if roll.is_multiple_of(3) { self.dice.roll(5000) } else { 0 };
        let at = self.now - Duration::from_millis(behind);
        let generation = (family.generation + self.dice.pick(&[0, 0, 0, 0, 1, 2]))
            .saturating_sub(self.dice.pick(&[0, 0, 1]));
        let (snapshot, applied) = match roll {
            18..45 => {
                let due = family.confirmed_at.unwrap_or(at) + family.timing.rotation_interval;
                let at = self.dice.pick(&[at, at, due, due - Duration::from_millis(1)]).min(self.now);
                (w.advance(&key, generation, at).await, family.advance(generation, at))
            }
            45..65 => (w.confirm(&key, generation, at).await, family.confirm(generation, at)),
            65..75 => (w.touch(&key, at).await, family.touch(at)),
            75..81 => (w.fast_forward(&key, generation, at).await, family.fast_forward(generation, at)),
            81..87 => {
                let method = format!("method {}", self.dice.roll(u64::MAX));
                let snapshot = w.record_reauthentication(&key, &method, at).await;
                (snapshot, record.record_reauthentication(&reauthentication(&method, at)))
            }
            87..93 => {
                let claims = self.dice.roll(u64::MAX).to_string();
                let snapshot = w.put_claims(&key, &claims, at).await;
                let live = record.replace_claims(&claims.into(), at);
                if snapshot.applied && w.store.has_feed() {
                    self.events.push(FeedEvent::SessionStale(key.clone(), at));
                }
                (snapshot, live)
            }
            _ => (w.get(&key).await, false),
        };
        self.agree(index, record, &snapshot, applied);
    }

    fn assert_same(&self, key: &SessionKey, record: &SessionRecord, expected: &SessionRecord) {
        let marked = self.marked.iter().any(|event| match event {
            FeedEvent::SessionStale(marked, _) => marked == key,
            FeedEvent::SubjectStale(subject, _) => *subject == key.subject,
            _ => false,
        });
        let stale_since = if marked { record.stale_since } else { expected.stale_since };
        assert_eq!(record, &SessionRecord { stale_since, ..expected.clone() });
    }

    /// Checks what the store answered against what the model became.
    fn agree(&mut self, index: usize, expected: SessionRecord, snapshot: &Snapshot, applied: bool) {
        let forgettable = self.forgettable(&self.session(index).1);
        let Some(record) = &snapshot.record else {
            assert!(forgettable && !snapshot.applied, "the store forgot {expected:?}");
            self.sessions.remove(index);
            return;
        };
        if expected.family.revoked {
            assert_ended(record, &expected);
        } else {
            self.assert_same(&self.session(index).0, record, &expected);
        }
        assert_eq!(snapshot.applied, applied, "{expected:?}");
        self.sessions.get_mut(index).expect("it was drawn from the list").1 = expected;
    }
}
