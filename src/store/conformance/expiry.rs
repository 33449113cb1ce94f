//! Deadlines. These cases move far ahead in time, so each runs alone.

use std::time::Duration;

use super::world::{ABSOLUTE, IDLE, Opened, World, assert_ended};
use crate::store::{Cap, CreateError, SessionStore};

const MINUTE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);

/// Timeouts that end a session after ten minutes: by the idle one, by the absolute one, by both.
const TEN_MINUTES: [(Duration, Duration); 3] = [
    (MINUTE.saturating_mul(10), ABSOLUTE),
    (MINUTE.saturating_mul(10), MINUTE.saturating_mul(10)),
    (MINUTE.saturating_mul(10), MINUTE.saturating_mul(20)),
];

/// Checks that an expired session was left as it is, or forgotten.
async fn assert_untouched<S: SessionStore>(w: &World<S>, session: &Opened) {
    let record = w.get(&session.key).await.record;
    assert!(record.is_none_or(|record| record == session.record), "an expired session does not change");
}

pub(super) async fn deadlines_are_exact_to_the_millisecond<S: SessionStore>(w: World<S>) {
    let deadline = w.base + MINUTE * 10;
    for (idle, absolute) in TEN_MINUTES {
        for by in ["advance", "fast_forward", "record_reauthentication", "put_claims", "confirm", "touch"] {
            let session = w.open_lasting(idle, absolute).await;
            let key = &session.key;
            if by == "confirm" {
                // Rotating at once moves no deadline.
                assert!(w.advance(key, 0, w.base).await.applied);
            }
            let before = w.stored(key).await;
            if w.store.can_list() {
                assert_eq!(w.listed(&key.subject, deadline - MILLI).await, [key.id]);
                assert!(w.listed(&key.subject, deadline).await.is_empty(), "expired, yet listed");
            }
            let last = deadline - MILLI;
            let applied = match by {
                "advance" => w.advance(key, 0, last).await.applied,
                "fast_forward" => w.fast_forward(key, 3, last).await.applied,
                "record_reauthentication" => w.record_reauthentication(key, "otp", last).await.applied,
                "put_claims" => w.put_claims(key, "1", last).await.applied,
                "confirm" => {
                    w.confirm(key, 1, last).await;
                    w.stored(key).await != before
                }
                _ => {
                    w.touch(key, last).await;
                    // There is nothing to move if the idle deadline is at the absolute one.
                    idle == absolute || w.stored(key).await != before
                }
            };
            assert!(applied, "{by} does not apply a millisecond before the deadline");
        }
    }
}

pub(super) async fn nothing_revives_an_expired_session<S: SessionStore>(w: World<S>) {
    for (idle, absolute) in TEN_MINUTES {
        for late in [Duration::ZERO, MINUTE * 20] {
            let mut session = w.open_lasting(idle, absolute).await;
            let at = w.base + MINUTE * 10 + late;
            w.try_everything(&session.key, 0, at).await;
            assert_untouched(&w, &session).await;
            // Nor one whose generation waits to be confirmed.
            session = w.open_lasting(idle, absolute).await;
            assert!(w.advance(&session.key, 0, w.base).await.applied);
            (session.record.family.generation, session.record.family.confirmed_at) = (1, None);
            w.try_everything(&session.key, 1, at).await;
            assert_untouched(&w, &session).await;
            if w.store.can_list() {
                assert!(w.listed(&session.key.subject, at).await.is_empty());
            }
        }
    }
}

pub(super) async fn revoked_session_is_kept_until_its_absolute_deadline<S: SessionStore>(w: World<S>) {
    let session = w.open_lasting(MINUTE * 10, ABSOLUTE).await;
    assert!(w.revoke(&session.key, w.at(1)).await);
    // Long after it would have been idle, while the store has reason to clean up.
    let later = w.base + MINUTE * 60;
    for _ in 0..5 {
        w.open_for(&session.key.subject, later).await;
    }
    w.try_everything(&session.key, 0, later).await;
    assert_ended(&w.stored(&session.key).await, &session.record);
    let mut again = w.record(later, IDLE, ABSOLUTE);
    again.id = session.record.id;
    let created = w.create(&session.key.subject, &again, None).await;
    assert!(matches!(created, Err(CreateError::Exists)), "{created:?}");
}

pub(super) async fn expired_sessions_do_not_count_against_a_cap<S: SessionStore>(w: World<S>) {
    if !w.store.can_list() {
        return;
    }
    for cap in [Cap::Refuse(2), Cap::RevokeOldest(2)] {
        let subject = w.subject();
        w.open_record(&subject, w.record(w.base, MINUTE * 10, ABSOLUTE)).await;
        let live = w.open_record(&subject, w.record(w.base, MINUTE * 20, ABSOLUTE)).await;
        let next = w.record(w.base + MINUTE * 10, IDLE, ABSOLUTE);
        let created = w.create(&subject, &next, Some(cap)).await;
        let (_, ended) = created.expect("one of the two has expired");
        assert!(ended.is_empty(), "what has expired is not ended again");
        assert_eq!(w.listed(&subject, next.family.created_at).await, [live.key.id, next.id]);
    }
}
