//! The store's run: a new one ends every session at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::JoinSet;

use super::{
    reader::Reader,
    world::{ABSOLUTE, IDLE, World, ok},
};
use crate::store::{Cap, FeedEvent, Overflow, SessionStore};

pub(super) async fn the_run_stays_until_it_is_rotated<S: SessionStore>(w: World<S>) {
    let run = ok(w.store.run_id().await);
    let session = w.open().await;
    assert!(w.advance(&session.key, 0, w.base, w.at(1)).await.applied);
    assert!(w.revoke(&session.key, w.at(2)).await);
    assert_eq!((session.run, w.get(&session.key).await.run), (run, run));
    assert_eq!(ok(w.store.run_id().await), run);
}

pub(super) async fn a_new_run_ends_every_session<S: SessionStore>(w: World<S>) {
    let reader = Reader::at_the_end(&w).await;
    let (listing, subject) = (w.store.capabilities().listing, w.subject());
    let old = [w.open_for(&subject, w.base).await, w.open_for(&subject, w.at(1)).await, w.open().await];
    let before = ok(w.store.run_id().await);

    let run = ok(w.store.rotate_run_id().await);
    assert_ne!(run, before);
    assert_eq!(ok(w.store.run_id().await), run);
    assert!(w.store.run_id_now().is_none_or(|now| now == run));
    for session in &old {
        let key = &session.key;
        for snapshot in [
            w.get(key).await,
            w.advance(key, 0, w.base, w.at(10)).await,
            w.fast_forward(key, 5, w.at(10)).await,
            w.put_claims(key, "1", w.at(10)).await,
            w.record_proof(key, "otp", w.at(10)).await,
        ] {
            let served = snapshot.run == session.run && snapshot.record.is_some();
            assert!(!served, "a session of the run before is served as one of its run: {snapshot:?}");
        }
        // Neither of these may fail, or bring it back.
        w.confirm(key, 0, w.at(11)).await;
        w.touch(key, w.at(11)).await;
    }
    if listing {
        assert!(w.listed(&subject, w.at(12)).await.is_empty(), "what has ended is not listed");
    }

    // The next run starts afresh: what ended does not count against a cap.
    let record = w.record(w.at(20), IDLE, ABSOLUTE);
    let cap = listing.then_some(Cap { limit: 1, overflow: Overflow::Refuse });
    let (of, ended) = w.create(&subject, &record, cap).await.expect("the subject has no session");
    assert_eq!((of, ended.len()), (run, 0));
    if listing {
        assert_eq!(w.listed(&subject, w.at(21)).await, [record.id]);
    }
    if let Some(mut reader) = reader {
        reader.find(&w, &[FeedEvent::Run(run)]).await;
        let batch = ok(w.store.feed(&Reader::since_the_start(&w).from).await);
        assert_eq!(batch.run, run, "a batch says which run it is");
    }
}

pub(super) async fn each_rotation_of_the_run_draws_another<S: SessionStore>(w: World<S>) {
    let mut runs = vec![ok(w.store.run_id().await)];
    for _ in 0..5 {
        let session = w.open().await;
        runs.push(ok(w.store.rotate_run_id().await));
        let snapshot = w.get(&session.key).await;
        assert!(snapshot.record.is_none() || snapshot.run != session.run);
    }
    let drawn = runs.iter().map(|run| run.as_u64()).collect::<std::collections::HashSet<_>>();
    assert_eq!(drawn.len(), runs.len(), "{runs:?}");
}

pub(super) async fn a_sign_in_during_a_rotation_belongs_to_the_run_it_is_told<S: SessionStore>(w: World<S>) {
    for _ in 0..30 {
        let rotated = Arc::new(AtomicBool::new(false));
        let mut signing_in = JoinSet::new();
        for _ in 0..6 {
            let (w, rotated) = (w.clone(), rotated.clone());
            signing_in.spawn(async move {
                let mut opened = vec![w.open().await];
                while !rotated.load(Ordering::SeqCst) {
                    opened.push(w.open().await);
                    tokio::task::yield_now().await;
                }
                opened
            });
        }
        tokio::task::yield_now().await;
        let run = ok(w.store.rotate_run_id().await);
        rotated.store(true, Ordering::SeqCst);
        for session in signing_in.join_all().await.concat() {
            let snapshot = w.get(&session.key).await;
            assert_eq!(snapshot.run, run);
            if session.run == run {
                assert_eq!(snapshot.record, Some(session.record), "opened in this run, and gone");
            } else if w.store.capabilities().listing {
                let live = w.listed(&session.key.subject, w.at(1)).await;
                assert!(live.is_empty(), "opened in the run before, and still listed");
            }
        }
    }
}
