//! Ending a session while it is used: once ending it has returned, nothing applies any more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::Barrier, task::JoinSet};

use super::world::{World, assert_ended};
use crate::store::{Revoke, SessionKey, SessionStore};

/// How often the race is run, each time with a session of its own.
const ROUNDS: usize = 25;

/// Uses a session in every way until it is over. Answers with how often something applied.
async fn use_until_ended<S: SessionStore>(w: World<S>, key: SessionKey, ended: Arc<AtomicBool>) -> u64 {
    let (mut generation, mut applied, mut rounds) = (0, 0, 0);
    // A few more rounds after the end, when nothing may apply.
    while rounds < 4 {
        rounds += u64::from(ended.load(Ordering::SeqCst));
        w.confirm(&key, generation, w.base).await;
        w.touch(&key, w.at(5)).await;
        let over = ended.load(Ordering::SeqCst);
        let answers = [
            w.advance(&key, generation, w.at(1), w.at(5)).await,
            w.fast_forward(&key, generation + 2, w.at(1)).await,
            w.put_claims(&key, &generation.to_string(), w.at(2)).await,
            w.record_proof(&key, "otp", w.at(2)).await,
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

pub(super) async fn nothing_applies_once_ending_a_session_has_returned<S: SessionStore>(w: World<S>) {
    for round in 0..ROUNDS {
        race(&w, round, |key| Revoke::Session(key.clone())).await;
    }
}

pub(super) async fn nothing_applies_once_ending_a_subjects_sessions_has_returned<S: SessionStore>(
    w: World<S>,
) {
    if !w.store.capabilities().listing {
        return;
    }
    for round in 0..ROUNDS {
        race(&w, round, |key| Revoke::Subject { subject: key.subject.clone(), before: None, except: None })
            .await;
    }
}
