//! The feed: how revocations reach every instance, without a gap.

use std::{future::poll_fn, pin::pin};

use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use super::{
    reader::{FEED_TIMEOUT, Reader},
    world::{World, unsupported},
};
use crate::store::{FeedBatch, FeedEvent, FeedFrom, Revoke, SessionStore, StoreError};

pub(super) async fn feed_returns_the_events_since_a_time<S: SessionStore>(w: World<S>) {
    let mut reader = Reader::since_the_start(&w);
    if !w.store.has_feed() {
        return unsupported(&w.store.feed(&reader.from).await, "feed");
    }
    let session = w.open().await;
    assert!(w.put_claims(&session.key, "1", w.at(1)).await.applied);
    assert!(w.revoke(&session.key, w.at(2)).await);
    let events =
        [FeedEvent::SessionStale(session.key.clone(), w.at(1)), FeedEvent::Revoked(session.key.clone())];
    reader.find(&w, &events).await;
    let place = |event| reader.seen.iter().position(|seen| seen == event);
    let [first, second] = events.each_ref().map(place);
    assert!(first < second, "the oldest comes first");
    // A later reader finds the same.
    Reader::since_the_start(&w).find(&w, &events).await;
}

/// Opens and ends sessions in different ways. Returns the events that must come of it.
async fn write<S: SessionStore>(w: World<S>, sessions: u64) -> Vec<FeedEvent> {
    let mut expected = Vec::new();
    for round in 0..sessions {
        let key = w.open().await.key;
        match round % 4 {
            0 => {
                w.put_claims(&key, "1", w.at(round)).await;
                expected.push(FeedEvent::SessionStale(key.clone(), w.at(round)));
            }
            1 if w.store.can_list() => {
                let second = w.open_for(&key.subject, w.base).await.key;
                let all = Revoke::Subject { subject: key.subject.clone(), before: None, except: None };
                assert_eq!(w.end(&all, w.at(round)).await.len(), 2);
                expected.extend([FeedEvent::Revoked(key.clone()), FeedEvent::Revoked(second)]);
            }
            _ => {
                assert!(w.revoke(&key, w.at(round)).await);
                expected.push(FeedEvent::Revoked(key.clone()));
            }
        }
    }
    expected
}

pub(super) async fn reading_from_any_position_loses_no_event_during_many_writes<S: SessionStore>(
    w: World<S>,
) {
    let Some(mut reader) = Reader::at_the_end(&w).await else { return };
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        writers.spawn(write(w.clone(), 20));
    }
    // Reads while they write, and notes the places it comes by.
    let mut places = vec![(reader.position(), 0)];
    let mut expected = Vec::new();
    while !writers.is_empty() {
        tokio::select! {
            written = writers.join_next() => {
                expected.extend(written.expect("there is one").expect("writing succeeds"));
            }
            () = reader.read(&w) => places.push((reader.position(), reader.seen.len())),
        }
    }
    reader.find(&w, &expected).await;

    let step = places.len().div_ceil(8);
    for (place, read_before) in places.into_iter().step_by(step) {
        let known = reader.seen.get(..read_before).unwrap_or_default();
        let rest: Vec<_> = expected.iter().filter(|event| !known.contains(event)).cloned().collect();
        Reader::after(place).find(&w, &rest).await;
    }
}

pub(super) async fn reader_gets_a_response_without_events<S: SessionStore>(w: World<S>) {
    let Some(mut reader) = Reader::at_the_end(&w).await else { return };
    let answered = timeout(FEED_TIMEOUT, async {
        let mut read_before = None;
        while read_before != Some(reader.seen.len()) {
            read_before = Some(reader.seen.len());
            reader.read(&w).await;
        }
    });
    assert!(answered.await.is_ok(), "a reader must hear within a second that there is nothing to hear");
    let session = w.open().await;
    assert!(w.revoke(&session.key, w.at(1)).await);
    reader.find(&w, &[FeedEvent::Revoked(session.key)]).await;
}

pub(super) async fn waiting_reader_is_woken<S: SessionStore>(w: World<S>) {
    let Some(mut reader) = Reader::at_the_end(&w).await else { return };
    let session = w.open().await;
    let (waits, is_waiting) = oneshot::channel();
    let event = FeedEvent::Revoked(session.key.clone());
    let reading = tokio::spawn({
        let (w, event, mut waits) = (w.clone(), event.clone(), Some(waits));
        async move {
            while !reader.has(&event) {
                let mut reading = pin!(reader.read(&w));
                // From its first poll on, nothing but the store makes this task run again.
                poll_fn(|cx| {
                    let polled = reading.as_mut().poll(cx);
                    if let Some(waits) = waits.take() {
                        let _ = waits.send(());
                    }
                    polled
                })
                .await;
            }
        }
    });
    is_waiting.await.expect("the reader has begun");
    assert!(w.revoke(&session.key, w.at(1)).await);
    match timeout(FEED_TIMEOUT, reading).await {
        Ok(read) => read.expect("reading succeeds"),
        Err(_) => panic!("a waiting reader was not woken within {FEED_TIMEOUT:?}"),
    }
}

pub(super) async fn cancelled_reader_loses_no_event<S: SessionStore>(w: World<S>) {
    let Some(mut reader) = Reader::at_the_end(&w).await else { return };
    for _ in 0..5 {
        let session = w.open().await;
        let here = reader.from.clone();
        {
            let mut waiting = pin!(w.store.feed(&here));
            let first = poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx))).await;
            // The event comes while the future exists and is not polled any more.
            assert!(w.revoke(&session.key, w.at(1)).await);
            drop(first);
        }
        reader.find(&w, &[FeedEvent::Revoked(session.key.clone())]).await;
    }
}

/// The store's word on a place that is not one of its own.
async fn read_from<S: SessionStore>(w: &World<S>, place: String) -> Result<FeedBatch, StoreError> {
    match timeout(FEED_TIMEOUT, w.store.feed(&FeedFrom::After(place.clone()))).await {
        Ok(answer) => answer,
        Err(_) => panic!("the store waits at {place:?}, which is not a place in its feed"),
    }
}

pub(super) async fn unknown_position_is_an_error_or_a_gap<S: SessionStore>(w: World<S>) {
    let Some(reader) = Reader::at_the_end(&w).await else { return };
    let here = reader.position();
    for place in ["no place at all".to_owned(), format!("{here}!"), format!("x{here}")] {
        match read_from(&w, place.clone()).await {
            Ok(batch) => {
                assert!(batch.gap, "{place:?} is not a place in the feed, so what lies before is unknown");
                // And from there, the reader is back on track.
                let session = w.open().await;
                assert!(w.revoke(&session.key, w.at(1)).await);
                Reader::after(batch.position).find(&w, &[FeedEvent::Revoked(session.key.clone())]).await;
            }
            Err(error) => {
                assert!(!matches!(error, StoreError::Unsupported(_)), "the store has a feed: {error}");
            }
        }
    }
}
