//! Opening a session.

use tokio::task::JoinSet;

use super::world::{ABSOLUTE, IDLE, World, assert_ended, id};
use crate::store::{CreateError, SessionKey, SessionStore};

pub(super) async fn created_session_reads_back_unchanged<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let snapshot = w.get(&session.key).await;
    assert_eq!(snapshot.record, Some(session.record));
    assert_eq!(snapshot.run, session.run, "it belongs to the run that `create` named");
    assert_eq!(w.run().await, session.run);
    assert!(w.store.run_id_now().is_none_or(|run| run == session.run));
}

pub(super) async fn unknown_session_is_no_error_and_stays_unknown<S: SessionStore>(w: World<S>) {
    // One of a subject that has another session, one of a subject that has none.
    let neighbour = w.open().await;
    for subject in [neighbour.key.subject.clone(), w.subject()] {
        let key = SessionKey { subject, id: id() };
        assert!(w.get(&key).await.record.is_none());
        w.try_everything(&key, 0, w.at(1)).await;
        assert!(!w.revoke(&key, w.at(1)).await, "there was nothing to end");
        assert!(w.advance(&key, 0, w.at(2)).await.record.is_none());
        assert!(w.get(&key).await.record.is_none());
    }
    w.expect(&neighbour).await;
}

pub(super) async fn session_id_is_never_used_twice<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let mut again = w.record(w.at(1), IDLE, ABSOLUTE);
    again.id = session.record.id;
    let second = w.create(&session.key.subject, &again, None).await;
    assert!(matches!(second, Err(CreateError::Exists)), "{second:?}");
    w.expect(&session).await;

    assert!(w.revoke(&session.key, w.at(2)).await);
    let third = w.create(&session.key.subject, &again, None).await;
    assert!(matches!(third, Err(CreateError::Exists)), "an ended session's id is not free: {third:?}");
    assert_ended(&w.stored(&session.key).await, &session.record);
}

pub(super) async fn one_of_concurrent_creations_with_one_id_wins<S: SessionStore>(w: World<S>) {
    let subject = w.subject();
    let key = SessionKey { subject: subject.clone(), id: id() };
    let mut racers = JoinSet::new();
    for racer in 0..16 {
        let (w, subject) = (w.clone(), subject.clone());
        let mut record = w.record(w.base, IDLE, ABSOLUTE);
        (record.id, record.claims) = (key.id, racer.to_string().into());
        racers.spawn(async move {
            match w.create(&subject, &record, None).await {
                Ok(_) => Some(record),
                Err(CreateError::Exists) => None,
                Err(error) => panic!("a loser is told that the session exists, not {error}"),
            }
        });
    }
    let winners: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    let [winner] = winners.as_slice() else { panic!("{} creations won", winners.len()) };
    assert_eq!(&w.stored(&key).await, winner);
}
