//! Confirming, touching, catching up: what counts as use.

use std::time::Duration;

use tokio::task::JoinSet;

use super::world::{IDLE, Opened, World};
use crate::store::SessionStore;

/// A session at generation 1, not confirmed yet.
async fn provisional<S: SessionStore>(w: &World<S>) -> Opened {
    let mut session = w.open().await;
    assert!(w.advance(&session.key, 0, w.at(10)).await.applied);
    assert!(session.record.family.advance(0, w.at(10)));
    session
}

pub(super) async fn generation_is_confirmed_once_and_the_first_time_is_kept<S: SessionStore>(w: World<S>) {
    let mut session = provisional(&w).await;
    for other in [0, 2, u64::from(u32::MAX) + 2] {
        w.confirm(&session.key, other, w.at(20)).await;
        w.expect(&session).await;
    }
    w.confirm(&session.key, 1, w.at(30)).await;
    assert!(session.record.family.confirm(1, w.at(30)), "which moves the idle deadline, too");
    w.expect(&session).await;
    for again in [w.at(40), w.at(25)] {
        w.confirm(&session.key, 1, again).await;
        w.expect(&session).await;
    }
}

pub(super) async fn late_confirmation_moves_no_deadline_back<S: SessionStore>(w: World<S>) {
    let mut session = provisional(&w).await;
    w.touch(&session.key, w.at(50)).await;
    w.confirm(&session.key, 1, w.at(40)).await;
    assert!(session.record.family.touch(w.at(50)) && session.record.family.confirm(1, w.at(40)));
    w.expect(&session).await;
}

pub(super) async fn one_of_concurrent_confirmations_is_kept<S: SessionStore>(w: World<S>) {
    let session = provisional(&w).await;
    let mut racers = JoinSet::new();
    for racer in 0..16 {
        let (w, key) = (w.clone(), session.key.clone());
        racers.spawn(async move {
            w.confirm(&key, 1, w.at(20 + racer)).await;
            w.stored(&key).await.family.confirmed_at
        });
    }
    let seen = racers.join_all().await;
    let last = w.stored(&session.key).await.family.confirmed_at;
    assert!((20..36).any(|secs| last == Some(w.at(secs))), "one of them: {last:?}");
    assert!(seen.iter().all(|seen| *seen == last), "and it never changed: {seen:?}");
}

pub(super) async fn use_moves_the_idle_deadline_forward_only<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    for secs in [30, 10, 30, 31, 0] {
        w.touch(&session.key, w.at(secs)).await;
        session.record.family.touch(w.at(secs));
        w.expect(&session).await;
    }
    assert_eq!(session.record.family.idle_deadline, w.at(31) + IDLE);
}

pub(super) async fn use_never_moves_past_the_absolute_deadline<S: SessionStore>(w: World<S>) {
    let limit = IDLE + Duration::from_secs(60);
    for by in ["touch", "advance", "confirm", "fast_forward"] {
        let mut session = w.open_lasting(IDLE, limit).await;
        let (key, family) = (&session.key, &mut session.record.family);
        match by {
            "touch" => {
                w.touch(key, w.at(90)).await;
                family.touch(w.at(90));
            }
            "advance" => {
                w.advance(key, 0, w.at(90)).await;
                family.advance(0, w.at(90));
            }
            "confirm" => {
                w.advance(key, 0, w.at(1)).await;
                family.advance(0, w.at(1));
                w.confirm(key, 1, w.at(90)).await;
                family.confirm(1, w.at(90));
            }
            _ => {
                w.fast_forward(key, 3, w.at(90)).await;
                family.fast_forward(3, w.at(90));
            }
        }
        assert_eq!(family.idle_deadline, w.base + limit);
        w.expect(&session).await;
    }
}

pub(super) async fn fast_forward_never_goes_back_and_is_provisional<S: SessionStore>(w: World<S>) {
    let mut session = provisional(&w).await;
    assert!(session.record.family.fast_forward(4, w.at(20)));
    let snapshot = w.fast_forward(&session.key, 4, w.at(20)).await;
    assert_eq!((snapshot.applied, snapshot.record.as_ref()), (true, Some(&session.record)));
    assert_eq!(session.record.family.confirmed_at, None, "its timing has a crash window");
    for to in [0, 1, 3, 4] {
        let snapshot = w.fast_forward(&session.key, to, w.at(30)).await;
        assert_eq!((snapshot.applied, snapshot.record.as_ref()), (false, Some(&session.record)), "to {to}");
    }
    w.expect(&session).await;
}

pub(super) async fn highest_of_concurrent_fast_forwards_is_kept<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let mut racers = JoinSet::new();
    for to in 1..=16 {
        let (w, key) = (w.clone(), session.key.clone());
        racers.spawn(async move {
            let answer = w.fast_forward(&key, to, w.at(to)).await;
            let generation = answer.record.expect("the session is there").family.generation;
            assert!(generation >= to, "whether it applied or came too late");
            assert!(!answer.applied || generation == to);
        });
    }
    racers.join_all().await;
    let family = w.stored(&session.key).await.family;
    assert_eq!((family.generation, family.handed_out_at), (16, w.at(16)));
}
