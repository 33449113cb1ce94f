//! Re-authentications, claims, and stale marks.

use super::{
    reader::Reader,
    world::{World, ok, reauthentication, unique},
};
use crate::store::{FeedEvent, SessionRecord, SessionStore, StoreError, Subject};

pub(super) async fn reauthentication_is_recorded_and_a_later_one_replaces_it<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    for (method, secs) in [("otp", 10), ("hwk", 20)] {
        let snapshot = w.record_reauthentication(&session.key, method, w.at(secs)).await;
        session.record.reauthentication = Some(reauthentication(method, w.at(secs)));
        assert!(snapshot.applied);
        assert_eq!(
            snapshot.record.as_ref(),
            Some(&session.record),
            "a reauthentication changes nothing else"
        );
        assert_eq!(snapshot.run, session.run);
        w.expect(&session).await;
    }
}

pub(super) async fn claims_are_replaced_and_the_session_is_stale<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    let reader = Reader::at_the_end(&w).await;
    let claims = format!(r#"{{"role":"{}"}}"#, unique());
    let snapshot = w.put_claims(&session.key, &claims, w.at(10)).await;
    session.record.claims = claims.into();
    session.record.stale_since = Some(w.at(10));
    assert!(snapshot.applied);
    assert_eq!(snapshot.record.as_ref(), Some(&session.record), "new claims change nothing else");
    assert_eq!(snapshot.run, session.run);
    w.expect(&session).await;
    // What a rotation gives back is what the next tokens are minted from.
    let next = w.advance(&session.key, 0, w.at(20)).await.record;
    assert_eq!(next.map(|record| record.claims), Some(session.record.claims));
    if let Some(mut reader) = reader {
        reader.find(&w, &[FeedEvent::SessionStale(session.key.clone(), w.at(10))]).await;
    }
}

pub(super) async fn late_change_of_claims_moves_no_stale_mark_back<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    for (claims, secs) in [("1", 20), ("2", 10)] {
        assert!(w.put_claims(&session.key, claims, w.at(secs)).await.applied);
    }
    // The last one counts, but a token of second 15 may be older than the first.
    (session.record.claims, session.record.stale_since) = ("2".into(), Some(w.at(20)));
    w.expect(&session).await;
}

pub(super) async fn stale_marks_revoke_nothing_and_reach_every_reader<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let odd = Subject { realm: w.realm.clone(), name: format!("☕ {}: {{\"x\"}}\n", unique()).into() };
    let reader = Reader::at_the_end(&w).await;
    w.mark_stale(&FeedEvent::SessionStale(session.key.clone(), w.at(10))).await;
    let record = w.stored(&session.key).await;
    let marked = SessionRecord { stale_since: Some(w.at(10)), ..session.record.clone() };
    if let Some(mut reader) = reader {
        assert!(record == session.record || record == marked, "a mark changes nothing else: {record:?}");
        let mut expected = vec![FeedEvent::SessionStale(session.key.clone(), w.at(10))];
        for subject in [session.key.subject.clone(), odd] {
            w.mark_stale(&FeedEvent::SubjectStale(subject.clone(), w.at(11))).await;
            expected.push(FeedEvent::SubjectStale(subject, w.at(11)));
        }
        reader.find(&w, &expected).await;
        assert!(!reader.has(&FeedEvent::Revoked(session.key.clone())));
    } else {
        // No feed tells it, so the record must.
        assert_eq!(record, marked);
        match w.store.mark_stale(&FeedEvent::SubjectStale(session.key.subject.clone(), w.at(11))).await {
            Err(StoreError::Unsupported(_)) => {}
            answer => {
                ok(answer);
                assert_eq!(w.stored(&session.key).await.stale_since, Some(w.at(11)), "said, but not done");
            }
        }
    }
    assert!(w.advance(&session.key, 0, w.at(20)).await.applied, "it is as live as before");
}
