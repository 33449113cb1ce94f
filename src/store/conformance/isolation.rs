//! What belongs to one subject is no other's.

use super::world::{Opened, World, unique, unsupported};
use crate::store::{Revoke, SessionKey, SessionStore, Subject};

/// Checks that none of the sessions can be reached as a session of another's subject.
async fn assert_apart<S: SessionStore>(w: &World<S>, sessions: &[Opened]) {
    for one in sessions {
        for other in sessions.iter().filter(|other| other.key.id != one.key.id) {
            let key = SessionKey { subject: other.key.subject.clone(), id: one.key.id };
            assert!(w.get(&key).await.record.is_none(), "{:?} has {one:?}", key.subject);
            w.try_everything(&key, 0, w.at(1)).await;
            assert!(!w.revoke(&key, w.at(1)).await, "{:?} ended {one:?}", key.subject);
        }
        if w.store.can_list() {
            assert_eq!(w.listed(&one.key.subject, w.at(1)).await, [one.key.id]);
        }
    }
    for session in sessions {
        w.expect(session).await;
    }
}

pub(super) async fn realms_and_subjects_are_isolated<S: SessionStore>(w: World<S>) {
    let mine = w.subject();
    let elsewhere = Subject { realm: format!("{}-admin", w.realm).into(), name: mine.name.clone() };
    let mut sessions = Vec::new();
    for subject in [mine, elsewhere, w.subject()] {
        sessions.push(w.open_for(&subject, w.base).await);
    }
    assert_apart(&w, &sessions).await;
}

pub(super) async fn revocation_of_a_subject_spares_the_same_name_in_another_realm<S: SessionStore>(
    w: World<S>,
) {
    let mine = w.open().await;
    let elsewhere = Subject { realm: unique().into(), name: mine.key.subject.name.clone() };
    let namesake = w.open_for(&elsewhere, w.base).await;
    let everything = Revoke::Subject { subject: mine.key.subject.clone(), before: None, except: None };
    if !w.store.can_list() {
        return unsupported(&w.store.revoke(&everything, w.at(1)).await, "ending a subject's sessions");
    }
    assert_eq!(w.end(&everything, w.at(1)).await, [mine.key.id]);
    w.expect(&namesake).await;
}

pub(super) async fn subject_can_be_any_text<S: SessionStore>(w: World<S>) {
    // Alike for a sloppy reader: in case, in blanks, in Unicode form, in how they would be joined.
    let names = [
        "Ada",
        "ada",
        "ada ",
        " ada",
        "ada\n",
        "ada\t",
        "a da",
        "\u{e9}",
        "e\u{301}",
        "e",
        "%61da",
        "ada%00",
        "ada:1",
        "ada:*",
        "a?a",
        "[a]da",
        "{ada}",
        "{",
        "}",
        "ada/..",
        "..",
        "ada|1",
        "'ada'",
        "\"ada\"",
        "'; DROP TABLE sessions; --",
        "ada\\",
        "$1",
        "null",
        "0",
        "-1",
        "日本語 ☕ 👩‍👩‍👧",
        "\u{202e}ada",
        "\u{feff}ada",
    ];
    let mut sessions = Vec::new();
    for name in names.into_iter().map(String::from).chain(["x".repeat(200), "☕".repeat(200)]) {
        sessions.push(w.open_for(&w.subject_called(&name), w.base).await);
    }
    for separator in [":", "/", "|", ".", "-", " ", "}", "\u{1f}"] {
        // The same text, wherever it is cut.
        let (realm, [a, b, c]) = (unique(), ["a", "b", "c"].map(|part| format!("{separator}{part}")));
        for (realm, name) in [(format!("{realm}{a}"), format!("{b}{c}")), (format!("{realm}{a}{b}"), c)] {
            let name = name.trim_start_matches(separator).into();
            sessions.push(w.open_for(&Subject { realm: realm.into(), name }, w.base).await);
        }
    }
    for session in &sessions {
        w.expect(session).await;
        if w.store.can_list() {
            assert_eq!(w.listed(&session.key.subject, w.at(1)).await, [session.key.id], "{session:?}");
        }
    }
    // Next to each other, the nearest neighbours.
    for pair in sessions.windows(2) {
        assert_apart(&w, pair).await;
    }
    for session in &sessions {
        assert!(w.revoke(&session.key, w.at(2)).await, "{session:?} was still live");
    }
}
