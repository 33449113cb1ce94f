//! Tests of the denylist.

use super::*;

const KEEP: Duration = Duration::from_secs(300);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn key(id: SessionId) -> SessionKey {
    SessionKey { subject: crate::store::Subject { realm: "r".into(), name: "ann".into() }, id }
}

fn list() -> (Denylist, RunId, SessionId) {
    let run = RunId::from_u64(7).expect("not zero");
    (Denylist::new("r".into(), KEEP, Duration::ZERO, Some(run), false), run, SessionId::from_bytes([1; 32]))
}

#[test]
fn a_revoked_session_is_known_at_once_and_another_is_not() {
    let (list, run, session) = list();
    assert_eq!(list.status(run, &session, "ann", at(100)), SessionStatus::Valid);
    list.revoke(&key(session), KEEP);
    assert_eq!(list.status(run, &session, "ann", at(100)), SessionStatus::Revoked);
    let other = SessionId::from_bytes([2; 32]);
    assert_eq!(list.status(run, &other, "ann", at(100)), SessionStatus::Valid);
}

#[test]
fn a_stale_subject_spares_tokens_that_are_issued_later() {
    let (list, run, session) = list();
    list.subject_stale("ann".into(), at(100), KEEP);
    assert_eq!(list.status(run, &session, "ann", at(99)), SessionStatus::Stale);
    assert_eq!(
        list.status(run, &session, "ann", at(100)),
        SessionStatus::Stale,
        "the same second errs on this side"
    );
    assert_eq!(list.status(run, &session, "ann", at(101)), SessionStatus::Valid);
    assert_eq!(list.status(run, &session, "bob", at(99)), SessionStatus::Valid);
}

#[test]
fn an_unknown_run_makes_every_token_unusable() {
    let (list, run, session) = list();
    let other = RunId::from_u64(8).expect("not zero");
    assert_eq!(list.status(other, &session, "ann", at(1)), SessionStatus::OtherRunId);
    let unknown = Denylist::new("r".into(), KEEP, Duration::ZERO, None, false);
    assert_eq!(unknown.status(run, &session, "ann", at(1)), SessionStatus::OtherRunId);
}

#[test]
fn every_change_is_counted_and_repeated_answers_of_the_store_are_none() {
    let (list, run, session) = list();
    let now = Reading { wall: at(100), monotonic: KEEP };
    let changes: [&dyn Fn(); 6] = [
        &|| list.revoke(&key(session), KEEP),
        &|| list.session_stale(&key(session), at(100), KEEP),
        &|| list.subject_revoked("ann".into(), at(100), None, now),
        &|| list.suspect_until(now),
        &|| list.clock_stepped(at(50)),
        &|| list.set_run(RunId::from_u64(8).expect("not zero")),
    ];
    for (nth, change) in changes.iter().enumerate() {
        let before = list.version();
        change();
        assert_ne!(list.version(), before, "{nth}");
    }
    let before = list.version();
    list.set_run(run);
    list.apply(&FeedBatch { events: Vec::new(), position: String::new(), run, more: false, gap: false }, now);
    assert_eq!(list.version(), before);
}

#[test]
fn denylist_is_empty_again_after_the_last_entry_has_ended() {
    let (list, ..) = list();
    list.revoke(&key(SessionId::from_bytes([1; 32])), Duration::ZERO);
    list.subject_stale("ann".into(), at(100), Duration::ZERO);
    let sweep_all = |now| (0..SHARDS).for_each(|_| list.sweep_next(now));
    sweep_all(KEEP - Duration::from_millis(1));
    assert_eq!((list.sessions.len(), list.subjects.len()), (1, 1));
    sweep_all(KEEP);
    assert_eq!((list.sessions.len(), list.subjects.len()), (0, 0));
}

#[test]
fn entries_go_when_they_can_no_longer_matter() {
    let (list, ..) = list();
    let id = |n: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        SessionId::from_bytes(bytes)
    };
    for n in 0..10_000 {
        list.revoke(&key(id(n)), Duration::ZERO);
    }
    assert_eq!(list.sessions.len(), 10_000);
    for n in 10_000..20_000 {
        list.revoke(&key(id(n)), KEEP + Duration::from_secs(1));
    }
    assert_eq!(list.sessions.len(), 10_000);
}
