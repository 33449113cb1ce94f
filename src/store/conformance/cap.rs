//! How many sessions a subject may have, however many sign in at once.

use std::{collections::HashSet, time::Duration};

use tokio::task::JoinSet;

use super::{
    reader::Reader,
    world::{ABSOLUTE, IDLE, World, assert_ended, unsupported},
};
use crate::{
    id::{RunId, SessionId},
    store::{Cap, CreateError, FeedEvent, SessionStore, StoreError, Subject},
    time::Timestamp,
};

type Created = Result<(RunId, Vec<SessionId>), CreateError>;

/// Opens one more session of a subject that begins at `created`.
async fn one_more<S: SessionStore>(
    w: &World<S>,
    subject: &Subject,
    created: Timestamp,
    cap: Cap,
) -> (SessionId, Created) {
    let record = w.record(created, IDLE, ABSOLUTE);
    (record.id, w.create(subject, &record, Some(cap)).await)
}

/// Whether the store keeps caps. One that cannot list must say so rather than ignore them.
async fn keeps_caps<S: SessionStore>(w: &World<S>, cap: Cap) -> bool {
    if w.store.can_list() {
        return true;
    }
    let (_, created) = one_more(w, &w.subject(), w.base, cap).await;
    match created {
        Err(CreateError::Store(error @ StoreError::Unsupported(_))) => {
            unsupported(&Err::<(), _>(error), "create with a cap");
        }
        other => panic!("a store that cannot list cannot keep a cap, and must say so: {other:?}"),
    }
    false
}

pub(super) async fn cap_can_refuse_a_session<S: SessionStore>(w: World<S>) {
    if !keeps_caps(&w, Cap::Refuse(1)).await {
        return;
    }
    let (subject, cap) = (w.subject(), Cap::Refuse(2));
    let mut opened = Vec::new();
    for secs in 0..2 {
        let (id, created) = one_more(&w, &subject, w.at(secs), cap).await;
        assert!(matches!(created, Ok((_, ended)) if ended.is_empty()));
        opened.push(id);
    }
    let (refused, created) = one_more(&w, &subject, w.at(2), cap).await;
    assert!(matches!(created, Err(CreateError::TooMany)), "{created:?}");
    assert_eq!(w.listed(&subject, w.at(3)).await, opened, "a refusal changes nothing");
    assert!(!opened.contains(&refused));
    // Another subject's sessions do not count, and no more do those that have ended.
    assert!(one_more(&w, &w.subject(), w.at(2), cap).await.1.is_ok());
    let first = opened.first().map(|id| crate::store::SessionKey { subject: subject.clone(), id: *id });
    assert!(w.revoke(&first.expect("two were opened"), w.at(3)).await);
    assert!(one_more(&w, &subject, w.at(4), cap).await.1.is_ok());
    assert!(one_more(&w, &subject, w.at(5), cap).await.1.is_err());
    // The new one always counts, so no limit is lower than one.
    let (subject, none) = (w.subject(), Cap::Refuse(0));
    assert!(one_more(&w, &subject, w.base, none).await.1.is_ok());
    assert!(one_more(&w, &subject, w.base, none).await.1.is_err());
}

pub(super) async fn cap_can_revoke_the_oldest_session<S: SessionStore>(w: World<S>) {
    if !keeps_caps(&w, Cap::RevokeOldest(1)).await {
        return;
    }
    let reader = Reader::at_the_end(&w).await;
    let subject = w.subject();
    let mut sessions = Vec::new();
    // Opened in another order than they began.
    for secs in [3, 0, 4, 1, 2] {
        sessions.push(w.open_for(&subject, w.at(secs)).await);
    }
    sessions.sort_by_key(|session| session.record.family.created_at);
    let cap = |limit| Cap::RevokeOldest(limit);
    let (sixth, created) = one_more(&w, &subject, w.at(5), cap(5)).await;
    let [oldest, .., newest] = sessions.as_slice() else { unreachable!("five") };
    assert_eq!(created.expect("it is opened").1, [oldest.key.id]);

    // A lower limit than before ends as many as it takes.
    let (seventh, created) = one_more(&w, &subject, w.at(6), cap(3)).await;
    let mut ended = created.expect("it is opened").1;
    let mut expected: Vec<_> = sessions.iter().skip(1).take(3).map(|session| session.key.id).collect();
    ended.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ended, expected);
    assert_eq!(w.listed(&subject, w.at(7)).await, [newest.key.id, sixth, seventh]);
    for session in sessions.iter().take(4) {
        w.try_everything(&session.key, 0, w.at(8)).await;
        assert_ended(&w.stored(&session.key).await, &session.record);
    }
    if let Some(mut reader) = reader {
        let events = sessions.iter().take(4).map(|session| FeedEvent::Revoked(session.key.clone()));
        reader.find(&w, &events.collect::<Vec<_>>()).await;
    }
}

/// Signs in sixteen times at once, while another task counts. Returns who got in and who ended.
async fn storm<S: SessionStore>(w: &World<S>, subject: &Subject, cap: Cap) -> (usize, Vec<SessionId>) {
    let mut racers = JoinSet::new();
    for racer in 0..16 {
        let (w, subject) = (w.clone(), subject.clone());
        racers.spawn(async move {
            let created = w.base + Duration::from_millis(racer);
            let answer = match one_more(&w, &subject, created, cap).await.1 {
                Ok((_, ended)) => Some(ended),
                Err(CreateError::TooMany) => None,
                Err(error) => panic!("{error} ({error:?})"),
            };
            let live = w.listed(&subject, w.at(1)).await.len();
            assert!(live <= cap.limit(), "{live} live sessions, and at most {} may be", cap.limit());
            answer
        });
    }
    let admitted: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    (admitted.len(), admitted.concat())
}

pub(super) async fn concurrent_sign_ins_never_exceed_a_cap_that_refuses<S: SessionStore>(w: World<S>) {
    if !keeps_caps(&w, Cap::Refuse(1)).await {
        return;
    }
    for limit in 1..=5 {
        let subject = w.subject();
        let (admitted, ended) = storm(&w, &subject, Cap::Refuse(limit)).await;
        assert_eq!((admitted, ended.len()), (limit, 0));
        assert_eq!(w.listed(&subject, w.at(1)).await.len(), limit);
    }
}

pub(super) async fn concurrent_sign_ins_never_exceed_a_cap_that_revokes_the_oldest<S: SessionStore>(
    w: World<S>,
) {
    if !keeps_caps(&w, Cap::RevokeOldest(1)).await {
        return;
    }
    for limit in 1..=5 {
        let subject = w.subject();
        let (admitted, ended) = storm(&w, &subject, Cap::RevokeOldest(limit)).await;
        let distinct: HashSet<_> = ended.iter().collect();
        assert_eq!((admitted, ended.len(), distinct.len()), (16, 16 - limit, 16 - limit), "each ended once");
        let live = w.listed(&subject, w.at(1)).await;
        assert_eq!(live.len(), limit);
        assert!(live.iter().all(|id| !distinct.contains(id)));
    }
}
