//! Callers that stop waiting, as timeouts and broken connections make them: the whole effect of an
//! operation, or none.

use std::{future::poll_fn, pin::pin, task::Poll};

use super::{
    reader::Reader,
    world::{ABSOLUTE, IDLE, World, assert_ended},
};
use crate::store::{Cap, CreateError, FeedEvent, Revoke, SessionStore};

/// After how many polls an operation is dropped, at the latest.
const CUTS: [usize; 6] = [1, 2, 3, 4, 6, 10];

/// Polls `operation` at most so often, and then drops it.
async fn cut<T>(operation: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut operation = pin!(operation);
    let mut left = polls;
    poll_fn(|cx| match operation.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

pub(super) async fn dropped_creation_is_atomic<S: SessionStore>(w: World<S>) {
    let listing = w.store.can_list();
    let cap = listing.then_some(Cap::RevokeOldest(1));
    let mut reader = Reader::at_the_end(&w).await;
    for polls in CUTS {
        let old = w.open().await;
        let (subject, new) = (&old.key.subject, w.record(w.at(10), IDLE, ABSOLUTE));
        drop(cut(w.create(subject, &new, cap), polls).await);
        if listing {
            let live = w.listed(subject, w.at(11)).await;
            assert!(live == [old.key.id] || live == [new.id], "half a sign-in after {polls} polls");
        }
        // Trying again, as a person would, with the same outcome either way.
        let again = w.create(subject, &new, cap).await;
        assert!(matches!(again, Ok(_) | Err(CreateError::Exists)), "{again:?}");
        let key = crate::store::SessionKey { subject: subject.clone(), id: new.id };
        assert_eq!(w.stored(&key).await, new);
        if listing {
            assert_eq!(w.listed(subject, w.at(11)).await, [new.id]);
            assert_ended(&w.stored(&old.key).await, &old.record);
            if let Some(reader) = &mut reader {
                reader.find(&w, &[FeedEvent::Revoked(old.key.clone())]).await;
            }
        }
    }
}

pub(super) async fn dropped_rotation_is_atomic<S: SessionStore>(w: World<S>) {
    for polls in CUTS {
        let mut session = w.open().await;
        let before = session.record.clone();
        assert!(session.record.family.advance(0, w.at(10)));
        drop(cut(w.store.advance(&session.key, 0, w.at(10)), polls).await);
        let now = w.stored(&session.key).await;
        assert!(now == before || now == session.record, "half a rotation after {polls} polls: {now:?}");
        w.advance(&session.key, 0, w.at(10)).await;
        w.expect(&session).await;
    }
}

pub(super) async fn dropped_change_of_claims_is_atomic<S: SessionStore>(w: World<S>) {
    let mut reader = Reader::at_the_end(&w).await;
    for polls in CUTS {
        let mut session = w.open().await;
        let before = session.record.clone();
        session.record.claims = r#"{"role":"nobody"}"#.into();
        session.record.stale_since = Some(w.at(10));
        let version = w.get(&session.key).await.version;
        let event = FeedEvent::SessionStale(session.key.clone(), w.at(10));
        let event = Some(&event).filter(|_| reader.is_some());
        drop(cut(w.store.replace(&session.key, version, &session.record, event), polls).await);
        let now = w.stored(&session.key).await;
        assert!(now == before || now == session.record, "half of the claims after {polls} polls: {now:?}");
        // New claims without a stale mark could be undone by a response that is on its way.
        if let Some(reader) = reader.as_mut().filter(|_| now == session.record) {
            reader.find(&w, &[FeedEvent::SessionStale(session.key.clone(), w.at(10))]).await;
        }
        assert!(w.revoke(&session.key, w.at(11)).await, "and it lives on");
    }
}

pub(super) async fn dropped_revocation_is_atomic<S: SessionStore>(w: World<S>) {
    let mut reader = Reader::at_the_end(&w).await;
    let listing = w.store.can_list();
    for (turn, polls) in CUTS.into_iter().cycle().take(2 * CUTS.len()).enumerate() {
        let session = w.open().await;
        let what = if listing && turn % 2 == 0 {
            Revoke::Subject { subject: session.key.subject.clone(), before: None, except: None }
        } else {
            Revoke::Session(session.key.clone())
        };
        drop(cut(w.store.revoke(&what, w.at(10)), polls).await);
        // A caller that does not know whether it happened repeats it, and then it has happened: here, and
        // for all who follow the feed.
        w.end(&what, w.at(11)).await;
        assert_ended(&w.stored(&session.key).await, &session.record);
        if let Some(reader) = &mut reader {
            reader.find(&w, &[FeedEvent::Revoked(session.key.clone())]).await;
        }
    }
}
