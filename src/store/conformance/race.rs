//! Ending a session while it is used: once ending it has returned, nothing applies any more. And
//! other writes that meet: none undoes another.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::Barrier, task::JoinSet};

use super::world::{World, assert_ended, reauthentication};
use crate::store::{Revoke, SessionKey, SessionStore};

/// How often the race is run, each time with a session of its own.
const ROUNDS: usize = 25;

/// Uses a session in every way until it is over. Returns how often something applied.
async fn use_until_ended<S: SessionStore>(w: World<S>, key: SessionKey, ended: Arc<AtomicBool>) -> u64 {
    let (mut generation, mut applied, mut rounds) = (0, 0, 0);
    // A few more rounds after the end, when nothing may apply.
    while rounds < 4 {
        rounds += u64::from(ended.load(Ordering::SeqCst));
        w.confirm(&key, generation, w.base).await;
        w.touch(&key, w.at(5)).await;
        let over = ended.load(Ordering::SeqCst);
        let answers = [
            w.advance(&key, generation, w.at(5)).await,
            w.fast_forward(&key, generation + 2, w.at(1)).await,
            w.put_claims(&key, &generation.to_string(), w.at(2)).await,
            w.record_reauthentication(&key, "otp", w.at(2)).await,
        ];
        for answer in answers {
            let record = answer.record.expect("an ended session's record is kept");
            assert!(!over || !answer.applied, "applied after the end: {record:?}");
            assert!(!over || record.family.revoked, "alive after the end: {record:?}");
            applied += u64::from(answer.applied);
            generation = record.family.generation;
        }
        tokio::task::yield_now().await;
    }
    applied
}

/// Ends a session of `subject`s in the midst of its use.
async fn race<S: SessionStore>(w: &World<S>, round: usize, what: impl Fn(&SessionKey) -> Revoke) {
    const USERS: usize = 4;
    let session = w.open().await;
    let ended = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(USERS + 1));
    let mut users = JoinSet::new();
    for _ in 0..USERS {
        let (w, key, ended, start) = (w.clone(), session.key.clone(), ended.clone(), start.clone());
        users.spawn(async move {
            start.wait().await;
            use_until_ended(w, key, ended).await
        });
    }
    start.wait().await;
    // In a different place each time.
    for _ in 0..round % 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(w.end(&what(&session.key), w.at(3)).await, [session.key.id]);
    let last = w.stored(&session.key).await;
    ended.store(true, Ordering::SeqCst);
    users.join_all().await;
    assert_ended(&w.stored(&session.key).await, &last);
}

pub(super) async fn nothing_applies_after_the_revocation_of_a_session<S: SessionStore>(w: World<S>) {
    for round in 0..ROUNDS {
        race(&w, round, |key| Revoke::Session(key.clone())).await;
    }
}

pub(super) async fn nothing_applies_after_the_revocation_of_a_subject<S: SessionStore>(w: World<S>) {
    if !w.store.can_list() {
        return;
    }
    for round in 0..ROUNDS {
        race(&w, round, |key| Revoke::Subject { subject: key.subject.clone(), before: None, except: None })
            .await;
    }
}

pub(super) async fn concurrent_writes_to_one_record_lose_nothing<S: SessionStore>(w: World<S>) {
    for _ in 0..ROUNDS {
        let mut session = w.open().await;
        let (key, start) = (session.key.clone(), Arc::new(Barrier::new(4)));
        let racer = || (w.clone(), key.clone(), start.clone());
        let mut racers = JoinSet::new();
        let (w1, key1, start1) = racer();
        racers.spawn(async move {
            start1.wait().await;
            assert!(w1.advance(&key1, 0, w1.at(1)).await.applied, "rotating");
            w1.confirm(&key1, 1, w1.at(2)).await;
        });
        let (w2, key2, start2) = racer();
        racers.spawn(async move {
            start2.wait().await;
            assert!(w2.put_claims(&key2, "1", w2.at(1)).await.applied, "new claims");
            assert!(w2.put_claims(&key2, "2", w2.at(2)).await.applied, "newer claims");
        });
        let (w3, key3, start3) = racer();
        racers.spawn(async move {
            start3.wait().await;
            assert!(w3.record_reauthentication(&key3, "otp", w3.at(3)).await.applied, "a reauthentication");
        });
        let (w4, key4, start4) = racer();
        racers.spawn(async move {
            start4.wait().await;
            for secs in 3..7 {
                w4.touch(&key4, w4.at(secs)).await;
            }
        });
        racers.join_all().await;
        let record = &mut session.record;
        record.family.advance(0, w.at(1));
        record.family.confirm(1, w.at(2));
        record.family.touch(w.at(6));
        (record.claims, record.stale_since) = ("2".into(), Some(w.at(2)));
        record.reauthentication = Some(reauthentication("otp", w.at(3)));
        w.expect(&session).await;
    }
}

pub(super) async fn revocation_of_a_subject_misses_no_session_while_others_begin<S: SessionStore>(
    w: World<S>,
) {
    if !w.store.can_list() {
        return;
    }
    for round in 0..ROUNDS {
        let (subject, done) = (w.subject(), Arc::new(AtomicBool::new(false)));
        let first = w.open_for(&subject, w.base).await;
        let mut signing_in = JoinSet::new();
        for _ in 0..4 {
            let (w, subject, done) = (w.clone(), subject.clone(), done.clone());
            signing_in.spawn(async move {
                let mut opened = vec![w.open_for(&subject, w.base).await.key.id];
                while !done.load(Ordering::SeqCst) && opened.len() < 50 {
                    opened.push(w.open_for(&subject, w.base).await.key.id);
                    tokio::task::yield_now().await;
                }
                opened
            });
        }
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
        // Sessions that have begun by now must be revoked. Those that begin meanwhile may be.
        let begun = w.listed(&subject, w.at(1)).await;
        let all = Revoke::Subject { subject: subject.clone(), before: None, except: None };
        let ended = w.end(&all, w.at(1)).await;
        done.store(true, Ordering::SeqCst);
        assert!(begun.contains(&first.key.id) && begun.iter().all(|id| ended.contains(id)));
        let opened = signing_in.join_all().await.concat();
        let live = w.listed(&subject, w.at(2)).await;
        for id in opened {
            assert!(live.contains(&id) != ended.contains(&id), "either ended or live");
        }
    }
}
