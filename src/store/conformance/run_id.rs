//! The store's run ID: it only rises, and then every session of an older run ID is revoked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::Barrier, task::JoinSet};

use super::{
    reader::Reader,
    world::{ABSOLUTE, IDLE, World, ok},
};
use crate::{
    id::RunId,
    store::{Cap, FeedEvent, SessionStore},
};

pub(super) async fn run_id_stays_until_it_is_raised<S: SessionStore>(w: World<S>) {
    let run = w.run().await;
    let session = w.open().await;
    assert!(w.advance(&session.key, 0, w.at(1)).await.applied);
    assert!(w.revoke(&session.key, w.at(2)).await);
    assert_eq!((session.run, w.get(&session.key).await.run), (run, run));
    assert_eq!(w.run().await, run);
}

pub(super) async fn lower_run_id_changes_nothing<S: SessionStore>(w: World<S>) {
    let run = w.next_run().await;
    let session = w.open().await;
    let reader = Reader::at_the_end(&w).await;
    // As signed numbers, too, and as texts of unequal length.
    let below = RunId::from_u64(run.as_u64() - 1);
    for lower in [Some(RunId::SAMPLE), below, RunId::from_u64(10), Some(run)] {
        let lower = lower.expect("that is not zero");
        assert_eq!(ok(w.store.raise_run_id(lower).await), run, "raised to {lower}");
        assert_eq!(w.get(&session.key).await.run, run);
    }
    w.expect(&session).await;
    if let Some(mut reader) = reader {
        let marker = w.open().await;
        assert!(w.revoke(&marker.key, w.at(1)).await);
        reader.find(&w, &[FeedEvent::Revoked(marker.key.clone())]).await;
        let news = |event: &FeedEvent| matches!(event, FeedEvent::Run(of) if *of != run);
        assert!(!reader.seen.iter().any(news), "there is no other run: {:?}", reader.seen);
        let batch = ok(w.store.feed(&Reader::since_the_start(&w).from).await);
        assert_eq!(batch.run, run);
    }
}

pub(super) async fn concurrent_raises_end_at_the_highest<S: SessionStore>(w: World<S>) {
    for _ in 0..8 {
        let first = w.next_run().await;
        // The highest is neither the first to come nor the last.
        let candidates: Vec<_> =
            (1..=12).filter_map(|n: u64| RunId::from_u64(first.as_u64() + (n * 7) % 12 * 7919 + 1)).collect();
        let highest = *candidates.iter().max().expect("there are some");
        let (start, mut raising) = (Arc::new(Barrier::new(candidates.len())), JoinSet::new());
        for candidate in candidates {
            let (w, start) = (w.clone(), start.clone());
            raising.spawn(async move {
                start.wait().await;
                let run = ok(w.store.raise_run_id(candidate).await);
                let now = w.run().await;
                assert!(run >= candidate && now >= run, "{candidate} gave {run}, and then it was {now}");
            });
        }
        raising.join_all().await;
        assert_eq!(w.run().await, highest);
        assert_eq!(w.open().await.run, highest);
    }
}

pub(super) async fn higher_run_id_ends_every_session<S: SessionStore>(w: World<S>) {
    let reader = Reader::at_the_end(&w).await;
    let (listing, subject) = (w.store.can_list(), w.subject());
    let old = [w.open_for(&subject, w.base).await, w.open_for(&subject, w.at(1)).await, w.open().await];
    let before = w.run().await;

    let run = w.next_run().await;
    assert!(run > before);
    assert_eq!(w.run().await, run);
    assert!(w.store.run_id_now().is_none_or(|now| now == run));
    for session in &old {
        let key = &session.key;
        for snapshot in [
            w.get(key).await,
            w.advance(key, 0, w.at(10)).await,
            w.fast_forward(key, 5, w.at(10)).await,
            w.put_claims(key, "1", w.at(10)).await,
            w.record_reauthentication(key, "otp", w.at(10)).await,
        ] {
            assert_eq!((snapshot.run, snapshot.applied), (run, false));
            assert!(snapshot.record.is_none(), "a session of an older run ID is missing: {snapshot:?}");
        }
        let version = w.get(key).await.version;
        for version in [version, 0, 1] {
            let answer = w.replace(key, version, &session.record, None).await;
            assert!(!answer.applied && answer.record.is_none(), "a session of an older run ID is missing");
        }
        assert!(!w.revoke(key, w.at(11)).await, "it was revoked before");
    }
    if listing {
        assert!(w.listed(&subject, w.at(12)).await.is_empty(), "what has ended is not listed");
    }

    // The next run starts afresh: what ended does not count against a cap.
    let record = w.record(w.at(20), IDLE, ABSOLUTE);
    let cap = listing.then_some(Cap::Refuse(1));
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

pub(super) async fn sign_in_during_a_raise_belongs_to_the_run_id_it_returns<S: SessionStore>(w: World<S>) {
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
        let run = w.next_run().await;
        rotated.store(true, Ordering::SeqCst);
        for session in signing_in.join_all().await.concat() {
            let snapshot = w.get(&session.key).await;
            assert_eq!(snapshot.run, run);
            if session.run == run {
                assert_eq!(snapshot.record, Some(session.record), "opened in this run, and gone");
                continue;
            }
            assert!(snapshot.record.is_none(), "opened in the run before, and still there");
            if w.store.can_list() {
                let live = w.listed(&session.key.subject, w.at(1)).await;
                assert!(live.is_empty(), "opened in the run before, and still listed");
            }
        }
    }
}
