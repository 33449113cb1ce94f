//! A store as an application can write it: with the public API alone, and it passes the conformance suite.

#![expect(clippy::expect_used, reason = "a failed test is a panic")]

mod store;

use std::time::Duration;

use tower_sliding_sessions::{
    Keyring, Sessions, Timestamp,
    store::{MemoryStore, SessionKey, SessionRecord, SessionStore as _, StoreError, Subject},
};

use self::store::OwnStore;

async fn own() -> OwnStore {
    OwnStore::default()
}

mod suite {
    tower_sliding_sessions::store_conformance!(super::own);
}

/// The one session of a user who has just signed in, as the store has it.
async fn signed_in() -> SessionRecord {
    let store = MemoryStore::new().expect("random bytes");
    let sessions = Sessions::<()>::builder(Keyring::random().expect("random bytes")).store(store.clone());
    let sessions = sessions.build().expect("valid settings");
    let request = http::Request::new(());
    let visitor = sessions.visitor(&request).expect("a visitor");
    drop(visitor.sign_in("ann", ()).remember_me(true).by(["pwd"]).await.expect("a session"));
    let subject = Subject { realm: "sessions".into(), name: "ann".into() };
    store.list(&subject, sessions.now()).await.expect("a list").remove(0)
}

#[tokio::test]
async fn store_can_be_written_with_the_public_api_only() {
    let text = include_str!("store.rs");
    let (_, imports) = text.split_once("use tower_sliding_sessions::").expect("its imports");
    let (imports, code) = imports.split_once("};\n").expect("the end of its imports");
    assert!(!imports.contains("protocol") && !code.contains("tower_sliding_sessions"), "{imports}");
}

#[tokio::test]
async fn a_record_comes_back_from_its_bytes_as_it_was() {
    let record = signed_in().await;
    assert_eq!(SessionRecord::from_bytes(&record.to_bytes()).expect("a record"), record);
}

#[tokio::test]
async fn bytes_that_are_no_record_or_of_a_later_format_are_corrupt_and_are_not_quoted() {
    let bytes = String::from_utf8(signed_in().await.to_bytes()).expect("text");
    let later = bytes.replacen(r#""format":1"#, r#""format":2"#, 1);
    let wrong = bytes.replacen(r#""generation":0"#, r#""generation":"secret""#, 1);
    assert!(later != bytes && wrong != bytes);
    for bytes in ["", "secret", "{}", &bytes[1..], &later, &wrong] {
        let error = SessionRecord::from_bytes(bytes.as_bytes()).expect_err("no record");
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_record_of_the_first_format_is_read() {
    let text = r#"{"format":1,"record":{"id":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","family":
        {"generation":2,"confirmed_at":null,"offered_at":5000,"created_at":1000,"idle_timeout":{"secs":60,"nanos":0},
        "idle_deadline":65000,"absolute_deadline":601000,"revoked":false,"timing":{"grace":45000,"write_window":60000,
        "crash_window":35000,"late_body":600000,"rotation_interval":240000}},"claims":"{\"role\":\"admin\"}",
        "stale_since":4000,"methods":["pwd"],"reauthentication":{"at":3000,"methods":["otp"],"origin":"b"},
        "origin":"a","persistent":true}}"#;
    let mut record = SessionRecord::from_bytes(text.as_bytes()).expect("a record");
    let secs = Timestamp::from_secs;
    assert_eq!((record.generation(), record.created_at(), record.expires_at()), (2, secs(1), secs(65)));
    assert!(record.is_live(secs(64)) && !record.is_live(secs(65)) && record.keep_until() == secs(65));
    let written = String::from_utf8(record.to_bytes()).expect("text");
    assert_eq!(written, text.replace(['\n', ' '], ""));
    assert!(record.revoke() && !record.revoke());
    assert!(record.is_revoked() && !record.is_live(secs(64)) && record.keep_until() == secs(601));
    assert!(!String::from_utf8(record.to_bytes()).expect("text").contains("admin"), "claims are forgotten");
}

#[tokio::test]
async fn a_rotation_by_the_default_method_reads_and_replaces() {
    let (store, mut record) = (OwnStore::default(), signed_in().await);
    let key = SessionKey { subject: Subject { realm: "r".into(), name: "ann".into() }, id: record.id() };
    store.create(&key.subject, &record, None).await.expect("it is created");
    let later = record.created_at() + Duration::from_secs(600);
    let rotated = store.advance(&key, 0, later).await.expect("an answer");
    assert!(rotated.applied && record.advance(0, later));
    assert_eq!(rotated.record, Some(record));
    assert!(!store.advance(&key, 0, later).await.expect("an answer").applied);
}
