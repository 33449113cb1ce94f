//! Rotation: a compare-and-set whose condition is data.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};

use super::world::{ABSOLUTE, IDLE, Opened, World};
use crate::{
    store::{SessionRecord, SessionStore},
    time::Timestamp,
};

/// Checks that this rotation changes nothing, and that the loser gets the record as it is.
async fn assert_refused<S: SessionStore>(w: &World<S>, session: &Opened, from: u64, at: Timestamp) {
    let before = w.get(&session.key).await;
    let snapshot = w.advance(&session.key, from, at).await;
    assert!(!snapshot.applied, "from {from} at {at:?}: {:?}", session.record);
    assert_eq!(snapshot.record.as_ref(), Some(&session.record), "the loser gets the record as it is");
    assert_eq!((snapshot.run, snapshot.version), (session.run, before.version));
    w.expect(session).await;
}

pub(super) async fn rotation_is_provisional_and_counts_as_use<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    let snapshot = w.advance(&session.key, 0, w.at(60)).await;
    assert!(session.record.family.advance(0, w.at(60)));
    assert!(snapshot.applied);
    assert_eq!(snapshot.record.as_ref(), Some(&session.record), "the winner gets the record as it then is");
    assert_eq!(snapshot.run, session.run);
    w.expect(&session).await;
}

pub(super) async fn rotation_requires_the_generation_it_names<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    for from in [1, 2, u64::from(u32::MAX) + 1, (1 << 53) - 1] {
        assert_refused(&w, &session, from, w.at(60)).await;
    }
    assert!(w.fast_forward(&session.key, 5, w.base).await.applied);
    session.record.family.fast_forward(5, w.base);
    w.confirm(&session.key, 5, w.base).await;
    session.record.family.confirm(5, w.base);
    for from in [0, 4, 6] {
        assert_refused(&w, &session, from, w.at(60)).await;
    }
    assert!(w.advance(&session.key, 5, w.at(60)).await.applied);
}

pub(super) async fn rotation_waits_for_the_interval_in_the_record<S: SessionStore>(w: World<S>) {
    for millis in [1, 1000, 4 * 60 * 1000, 36 * 60 * 60 * 1000] {
        let interval = Duration::from_millis(millis);
        let mut record = w.record(w.base, IDLE, ABSOLUTE);
        record.family.timing.rotation_interval = interval;
        // Not a round number, and not when the session began.
        record.family.confirmed_at = Some(w.base + Duration::from_millis(17));
        let mut session = w.open_record(&w.subject(), record).await;
        let due = w.base + Duration::from_millis(17) + interval;
        assert_refused(&w, &session, 0, due - Duration::from_millis(1)).await;
        assert_refused(&w, &session, 0, w.base).await;
        // To the millisecond.
        assert!(w.advance(&session.key, 0, due).await.applied, "{millis} ms after it was confirmed");
        assert!(session.record.family.advance(0, due));
        w.expect(&session).await;
        // Generation 1 is not confirmed, so it is not rotated, however long ago it began.
        for later in [due, due + interval, due + interval * 9] {
            assert_refused(&w, &session, 1, later).await;
            assert_refused(&w, &session, 0, later).await;
        }
    }
}

pub(super) async fn rotation_uses_the_timing_written_last<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    let change = |record: &mut SessionRecord| {
        record.family.timing.rotation_interval = Duration::from_secs(60);
        true
    };
    assert!(w.write(&session.key, None, change).await.applied);
    change(&mut session.record);
    assert_refused(&w, &session, 0, w.at(59)).await;
    assert!(w.advance(&session.key, 0, w.at(60)).await.applied);
}

pub(super) async fn one_of_concurrent_rotations_applies<S: SessionStore>(w: World<S>) {
    const RACERS: usize = 32;
    let session = w.open().await;
    for generation in 0..8 {
        let start = Arc::new(Barrier::new(RACERS));
        let mut racers = JoinSet::new();
        for _ in 0..RACERS {
            let (w, key, start) = (w.clone(), session.key.clone(), start.clone());
            racers.spawn(async move {
                start.wait().await;
                w.advance(&key, generation, w.at(60 + generation)).await
            });
        }
        let answers = racers.join_all().await;
        let winners = answers.iter().filter(|answer| answer.applied).count();
        assert_eq!(winners, 1, "of {RACERS} rotations from generation {generation}");
        for answer in answers {
            let family = answer.record.expect("winner and losers get the record").family;
            assert_eq!(family.generation, generation + 1, "as it is after the race");
            assert_eq!(family.confirmed_at, None);
        }
        w.confirm(&session.key, generation + 1, w.at(generation + 1)).await;
    }
    assert_eq!(w.stored(&session.key).await.family.generation, 8);
}

pub(super) async fn rotations_during_confirmations_skip_no_generation<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let mut racers = JoinSet::new();
    for racer in 0..8 {
        let (w, key) = (w.clone(), session.key.clone());
        racers.spawn(async move {
            let (mut known, mut won) = (0, Vec::new());
            while known < 20 {
                // Later than every confirmation, so each may be followed by a rotation.
                let answer = w.advance(&key, known, w.at(300)).await;
                let family = answer.record.expect("the session is there").family;
                assert!(family.generation >= known, "a generation never goes back");
                if answer.applied {
                    assert_eq!(family.generation, known + 1);
                    won.push(known);
                }
                known = family.generation;
                w.confirm(&key, known, w.at(racer)).await;
            }
            won
        });
    }
    let mut won = racers.join_all().await.concat();
    won.sort_unstable();
    let generation = w.stored(&session.key).await.family.generation;
    assert_eq!(won, (0..generation).collect::<Vec<_>>(), "each rotation was won by exactly one");
}
