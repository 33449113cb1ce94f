//! Ending sessions: idempotent and final.

use tokio::task::JoinSet;

use super::{
    reader::Reader,
    world::{World, assert_ended},
};
use crate::store::{FeedEvent, Revoke, SessionStore};

pub(super) async fn revocation_is_final_and_the_record_is_kept<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let neighbour = w.open_for(&session.key.subject, w.base).await;
    assert!(w.revoke(&session.key, w.at(10)).await);
    w.try_everything(&session.key, 0, w.at(11)).await;
    let snapshot = w.advance(&session.key, 0, w.at(12)).await;
    let loser = snapshot.record.expect("a rotation of an ended session gets its record");
    assert_ended(&loser, &session.record);
    assert_ended(&w.stored(&session.key).await, &session.record);
    w.expect(&neighbour).await;
}

pub(super) async fn nothing_undoes_a_revocation_at_any_generation<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    assert!(w.advance(&session.key, 0, w.at(1)).await.applied);
    assert!(w.revoke(&session.key, w.at(2)).await);
    // It is provisional: a confirmation would apply, were it live.
    w.try_everything(&session.key, 1, w.at(3)).await;
    w.try_everything(&session.key, 0, w.at(3)).await;
    assert!(session.record.family.advance(0, w.at(1)));
    assert_ended(&w.stored(&session.key).await, &session.record);
}

pub(super) async fn repeated_revocation_is_no_error_and_only_the_first_counts<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    assert!(w.revoke(&session.key, w.at(10)).await);
    assert!(!w.revoke(&session.key, w.at(11)).await, "that call ended nothing");
    let mut racers = JoinSet::new();
    let other = w.open().await;
    for racer in 0..16 {
        let (w, key) = (w.clone(), other.key.clone());
        racers.spawn(async move { w.revoke(&key, w.at(racer)).await });
    }
    let ended = racers.join_all().await.into_iter().filter(|ended| *ended).count();
    assert_eq!(ended, 1, "exactly one of the racers ended it");
}

pub(super) async fn revocation_reaches_the_feed<S: SessionStore>(w: World<S>) {
    let Some(mut reader) = Reader::at_the_end(&w).await else { return };
    let session = w.open().await;
    assert!(w.revoke(&session.key, w.at(10)).await);
    reader.find(&w, &[FeedEvent::Revoked(session.key.clone())]).await;
}

pub(super) async fn sessions_of_a_subject_are_revoked_together<S: SessionStore>(w: World<S>) {
    if !w.store.can_list() {
        return;
    }
    let reader = Reader::at_the_end(&w).await;
    let subject = w.subject();
    let mut sessions = Vec::new();
    for secs in 0..6 {
        sessions.push(w.open_for(&subject, w.at(secs)).await);
    }
    let [first, second, third, fourth, fifth, sixth] = sessions.as_slice() else { unreachable!("six") };
    let stranger = w.open().await;
    assert!(w.revoke(&second.key, w.at(10)).await);

    // Began before the fourth did, but not the first.
    let older = Revoke::Subject {
        subject: subject.clone(),
        before: Some(fourth.record.family.created_at),
        except: Some(first.key.id),
    };
    assert_eq!(
        w.end(&older, w.at(11)).await,
        [third.key.id],
        "`before` is exclusive, the ended do not count"
    );
    assert!(w.end(&older, w.at(12)).await.is_empty());
    assert_eq!(w.listed(&subject, w.at(13)).await, [first.key.id, fourth.key.id, fifth.key.id, sixth.key.id]);

    let others = Revoke::Subject { subject: subject.clone(), before: None, except: Some(fifth.key.id) };
    let mut ended = w.end(&others, w.at(14)).await;
    let mut expected = vec![first.key.id, fourth.key.id, sixth.key.id];
    ended.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ended, expected);

    let all = Revoke::Subject { subject: subject.clone(), before: None, except: None };
    assert_eq!(w.end(&all, w.at(15)).await, [fifth.key.id]);
    assert!(w.end(&all, w.at(16)).await.is_empty());
    for session in &sessions {
        w.try_everything(&session.key, 0, w.at(17)).await;
        assert_ended(&w.stored(&session.key).await, &session.record);
    }
    w.expect(&stranger).await;
    if let Some(mut reader) = reader {
        let events: Vec<_> = sessions.iter().map(|session| FeedEvent::Revoked(session.key.clone())).collect();
        reader.find(&w, &events).await;
        assert!(!reader.has(&FeedEvent::Revoked(stranger.key.clone())));
    }
}

pub(super) async fn many_sessions_of_a_subject_are_revoked_in_one_event<S: SessionStore>(w: World<S>) {
    if !w.store.can_list() {
        return;
    }
    let reader = Reader::at_the_end(&w).await;
    let mut events = Vec::new();
    for before in [None, Some(w.at(500))] {
        let subject = w.subject();
        let mut ids = Vec::new();
        for _ in 0..=FeedEvent::ONE_BY_ONE {
            ids.push(w.open_for(&subject, w.base).await.key.id);
        }
        // One that is spared by its name, or by its time.
        let spared = w.open_for(&subject, w.at(501)).await.key.id;
        let except = before.is_none().then_some(spared);
        let what = Revoke::Subject { subject: subject.clone(), before, except };
        let ended = w.end(&what, w.at(600)).await;
        assert_eq!(ended.len(), ids.len());
        assert!(ids.iter().all(|id| ended.contains(id)), "all the others were revoked");
        assert_eq!(w.listed(&subject, w.at(601)).await, [spared]);
        let expected = FeedEvent::of_revocation(&what, &ended, w.at(600));
        assert!(matches!(expected.as_slice(), [FeedEvent::SubjectRevoked { .. }]));
        events.extend(expected);
    }
    if let Some(mut reader) = reader {
        reader.find(&w, &events).await;
        let one_by_one = |event: &&FeedEvent| matches!(event, FeedEvent::Revoked(_));
        assert_eq!(reader.seen.iter().filter(one_by_one).count(), 0, "none is told of one by one");
    }
}
