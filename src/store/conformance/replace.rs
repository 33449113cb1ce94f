//! Replacing a record: a compare-and-set over its version.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};

use super::{
    reader::Reader,
    world::{ABSOLUTE, IDLE, World, attached, id, reauthentication},
};
use crate::{
    store::{FeedEvent, Revoke, SessionKey, SessionRecord, SessionStore, Subject},
    time::Timestamp,
};

/// `record` with everything changed that a replacement may change.
fn changed(record: &SessionRecord, at: Timestamp) -> SessionRecord {
    let mut record = record.clone();
    let family = &mut record.family;
    family.generation += 3;
    family.confirmed_at = Some(at);
    family.handed_out_at = at + Duration::from_millis(1);
    family.idle_timeout += Duration::from_millis(2);
    family.idle_deadline = family.idle_deadline + Duration::from_millis(3);
    family.absolute_deadline = family.absolute_deadline + Duration::from_millis(4);
    family.timing.grace += Duration::from_millis(5);
    family.timing.write_window += Duration::from_millis(6);
    family.timing.crash_window += Duration::from_millis(7);
    family.timing.late_body += Duration::from_millis(8);
    family.timing.rotation_interval += Duration::from_millis(9);
    record.claims = r#"{"role":"writer"}"#.into();
    record.stale_since = Some(at);
    record.methods = vec!["pwd".into(), "otp".into()];
    record.reauthentication = Some(reauthentication("hwk", at));
    record.origin = Some("elsewhere".into());
    record.persistent = !record.persistent;
    record.attached = attached(&[("other", b"value")]);
    record
}

/// Checks that replacing what had `version` is a conflict, which changes nothing.
async fn assert_conflict<S: SessionStore>(w: &World<S>, key: &SessionKey, version: u64) {
    let before = w.get(key).await;
    let mut wanted = before.record.clone().unwrap_or_else(|| w.record(w.base, IDLE, ABSOLUTE));
    wanted.id = key.id;
    wanted.claims = "\"a conflict\"".into();
    let answer = w.replace(key, version, &wanted, None).await;
    assert!(!answer.applied, "replaced version {version} where there is {before:?}");
    assert_eq!((&answer.record, answer.run), (&before.record, before.run), "a conflict tells what there is");
    let now = w.get(key).await;
    assert_eq!(now.record, before.record, "a conflict changes nothing");
    if before.record.is_some() {
        assert_eq!((answer.version, now.version), (before.version, before.version));
    }
}

pub(super) async fn record_is_replaced_as_a_whole<S: SessionStore>(w: World<S>) {
    let mut session = w.open().await;
    let before = w.get(&session.key).await;
    session.record = changed(&session.record, w.at(10));
    let answer = w.replace(&session.key, before.version, &session.record, None).await;
    assert!(answer.applied);
    assert_eq!((answer.record.as_ref(), answer.run), (Some(&session.record), session.run));
    w.expect(&session).await;
    assert_eq!(w.get(&session.key).await.version, answer.version, "and the version is told");
    // What can be none again.
    let (record, family) = (&mut session.record.clone(), session.record.family);
    (record.family.confirmed_at, record.stale_since, record.reauthentication, record.origin) =
        (None, None, None, None);
    (record.claims, record.methods) = ("null".into(), Vec::new());
    (record.family.generation, record.family.handed_out_at) = (family.generation - 1, Timestamp::EPOCH);
    assert!(w.replace(&session.key, answer.version, record, None).await.applied);
    session.record = record.clone();
    w.expect(&session).await;
}

pub(super) async fn every_write_makes_a_new_version<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let key = &session.key;
    let mut versions = vec![w.get(key).await.version];
    for round in 0..4 {
        versions.push(w.advance(key, round, w.at(round)).await.version);
        versions.push(w.confirm(key, round + 1, w.at(round)).await.version);
        versions.push(w.put_claims(key, "1", w.at(round)).await.version);
        // Also one that changes nothing else.
        versions.push(w.write(key, None, |_| true).await.version);
    }
    let mut distinct = versions.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), versions.len(), "a version was used twice: {versions:?}");
    for version in versions.iter().rev().skip(1) {
        assert_conflict(&w, key, *version).await;
    }
    let last = versions.pop().expect("there are versions");
    assert_eq!(w.get(key).await.version, last, "reading makes none");
    assert!(w.replace(key, last, &w.stored(key).await, None).await.applied);
}

pub(super) async fn replacement_of_another_version_is_a_conflict<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let version = w.get(&session.key).await.version;
    for other in [version.wrapping_add(1), version.wrapping_sub(1), u64::MAX - 1, 1 << 40] {
        if other != version {
            assert_conflict(&w, &session.key, other).await;
        }
    }
    assert!(w.touch(&session.key, w.at(10)).await.applied);
    assert_conflict(&w, &session.key, version).await;
}

pub(super) async fn session_revoked_in_between_is_not_replaced<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let version = w.get(&session.key).await.version;
    assert!(w.revoke(&session.key, w.at(10)).await);
    assert_conflict(&w, &session.key, version).await;
    let now = w.get(&session.key).await.version;
    assert_conflict(&w, &session.key, now).await;
    w.try_everything(&session.key, 0, w.at(11)).await;
    if w.store.can_list() {
        let session = w.open().await;
        let version = w.get(&session.key).await.version;
        let subject = session.key.subject.clone();
        w.end(&Revoke::Subject { subject, before: None, except: None }, w.at(10)).await;
        assert_conflict(&w, &session.key, version).await;
    }
}

pub(super) async fn missing_session_is_not_replaced<S: SessionStore>(w: World<S>) {
    let session = w.open().await;
    let version = w.get(&session.key).await.version;
    let unknown = SessionKey { subject: session.key.subject.clone(), id: id() };
    let other = Subject { name: "another user".into(), ..session.key.subject.clone() };
    let stranger = SessionKey { subject: other, id: session.key.id };
    for key in [unknown, stranger] {
        for version in [0, 1, version] {
            assert_conflict(&w, &key, version).await;
        }
        assert!(w.get(&key).await.record.is_none(), "a replacement opens no session");
    }
    w.expect(&session).await;
}

pub(super) async fn one_of_concurrent_replacements_applies<S: SessionStore>(w: World<S>) {
    const RACERS: usize = 16;
    let session = w.open().await;
    for round in 0..8 {
        let read = w.get(&session.key).await;
        let (start, mut racers) = (Arc::new(Barrier::new(RACERS)), JoinSet::new());
        for racer in 0..RACERS {
            let (w, key, start) = (w.clone(), session.key.clone(), start.clone());
            let mut record = read.record.clone().expect("the store knows the session");
            record.claims = format!("[{round},{racer}]").into();
            racers.spawn(async move {
                start.wait().await;
                (w.replace(&key, read.version, &record, None).await, record)
            });
        }
        let answers = racers.join_all().await;
        let mut winners = answers.iter().filter(|(answer, _)| answer.applied);
        let (won, record) = winners.next().expect("one applies");
        assert!(winners.next().is_none(), "of {RACERS} replacements of one version");
        for (answer, _) in &answers {
            assert_eq!(answer.record.as_ref(), Some(record), "the losers get what the winner wrote");
            assert_eq!(answer.version, won.version);
        }
        assert_eq!(w.stored(&session.key).await, *record);
    }
}

pub(super) async fn event_is_in_the_feed_only_if_its_record_was_replaced<S: SessionStore>(w: World<S>) {
    let Some(mut reader) = Reader::at_the_end(&w).await else { return };
    let session = w.open().await;
    let event = |secs| FeedEvent::SessionStale(session.key.clone(), w.at(secs));
    let read = w.get(&session.key).await;
    let record = changed(&session.record, w.at(1));
    assert!(w.replace(&session.key, read.version, &record, Some(&event(1))).await.applied);
    assert!(!w.replace(&session.key, read.version, &record, Some(&event(2))).await.applied);
    assert!(w.revoke(&session.key, w.at(3)).await);
    let now = w.get(&session.key).await.version;
    assert!(!w.replace(&session.key, now, &record, Some(&event(3))).await.applied);
    let marker = w.open().await;
    assert!(w.revoke(&marker.key, w.at(4)).await);
    reader.find(&w, &[event(1), FeedEvent::Revoked(marker.key.clone())]).await;
    assert!(!reader.has(&event(2)) && !reader.has(&event(3)), "a conflict is in the feed");
}
