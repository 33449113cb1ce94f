//! What is large, far away or rare comes back as it was given.

use std::time::Duration;

use super::world::{ABSOLUTE, IDLE, World, attached, reauthentication};
use crate::{store::SessionStore, time::Timestamp};

/// New Year 2500, and a few milliseconds.
const YEAR_2500: Timestamp = Timestamp::from_millis(16_725_225_600_123);

pub(super) async fn every_field_is_stored<S: SessionStore>(w: World<S>) {
    let mut full = w.record(w.base, IDLE, ABSOLUTE);
    full.family.confirmed_at = Some(Timestamp::from_millis(w.base.as_millis() + 1));
    full.methods = vec!["pwd".into(), "otp".into(), "a method: \"quoted\", 100%".into()];
    full.reauthentication = Some(reauthentication("hwk", w.at(3)));
    full.origin = Some("Firefox on Ünix, \"kitchen\"; 2001:db8::1 {x} \\".into());
    full.stale_since = Some(w.at(2));
    full.persistent = true;
    let bytes: Vec<u8> = (0..=255).collect();
    full.attached = attached(&[("all bytes", &bytes), ("none", b""), ("\"a\" ☕", &[0; 4096])]);
    let mut bare = w.record(w.base, IDLE, ABSOLUTE);
    bare.family.confirmed_at = None;
    (bare.claims, bare.methods, bare.origin) = ("null".into(), Vec::new(), None);
    bare.attached = attached(&[]);
    for record in [full, bare] {
        let session = w.open_record(&w.subject(), record).await;
        w.expect(&session).await;
        if w.store.can_list() {
            let listed = w.store.list(&session.key.subject, w.at(4)).await.ok();
            assert_eq!(listed, Some(vec![session.record]), "a listed record is the whole record");
        }
    }
}

pub(super) async fn claims_are_stored_byte_for_byte<S: SessionStore>(w: World<S>) {
    let large = format!(r#"{{"groups":"{}"}}"#, "☕x".repeat(768));
    assert!(large.len() > 3 * 1024);
    let texts = [
        // What a store that parses the JSON would change.
        r#"{"b":1, "a":1.0,"big":18446744073709551615,"tiny":1e-7,"empty":{},"none":[],"n":null}"#,
        r#"{"text":"\u0041\u00e9\n\\ \" ' -- %s {0} $1","emoji":"👩‍👩‍👧"}"#,
        "\"just a text\"",
        "[1,2,3]",
        "null",
        &large,
    ];
    for text in texts {
        let mut record = w.record(w.base, IDLE, ABSOLUTE);
        record.claims = text.into();
        let mut session = w.open_record(&w.subject(), record).await;
        w.expect(&session).await;
        for later in texts.into_iter().rev() {
            session.record.claims = later.into();
            session.record.stale_since = Some(w.at(1));
            assert_eq!(
                w.put_claims(&session.key, later, w.at(1)).await.record.as_ref(),
                Some(&session.record)
            );
        }
        w.expect(&session).await;
    }
}

pub(super) async fn large_generations_are_exact<S: SessionStore>(w: World<S>) {
    for generation in [u64::from(u32::MAX), 1 << 40, (1 << 53) - 3] {
        let mut record = w.record(w.base, IDLE, ABSOLUTE);
        record.family.generation = generation;
        let mut session = w.open_record(&w.subject(), record).await;
        w.expect(&session).await;
        assert!(session.record.family.advance(generation, w.at(1)));
        assert!(w.advance(&session.key, generation, w.at(1)).await.applied);
        w.confirm(&session.key, generation, w.at(2)).await;
        w.expect(&session).await;
        assert!(session.record.family.confirm(generation + 1, w.at(3)));
        w.confirm(&session.key, generation + 1, w.at(3)).await;
        w.expect(&session).await;
        assert!(session.record.family.fast_forward(generation + 2, w.at(4)));
        assert!(w.fast_forward(&session.key, generation + 2, w.at(4)).await.applied);
        w.expect(&session).await;
    }
}

pub(super) async fn far_deadlines_are_exact<S: SessionStore>(w: World<S>) {
    let until_then = YEAR_2500.since(w.base);
    for (idle, absolute) in [(until_then, until_then), (until_then - Duration::from_millis(1), until_then)] {
        let mut session = w.open_lasting(idle, absolute).await;
        w.expect(&session).await;
        session.record.family.advance(0, w.at(1));
        let snapshot = w.advance(&session.key, 0, w.at(1)).await;
        assert_eq!((snapshot.applied, snapshot.record), (true, Some(session.record.clone())));
        assert_eq!(session.record.family.idle_deadline, YEAR_2500);
        assert!(w.revoke(&session.key, w.at(2)).await);
    }
}
