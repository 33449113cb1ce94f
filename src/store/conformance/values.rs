//! Values that belong to no session.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};

use super::world::{DAY, World, ok, unique};
use crate::{
    store::{Revoke, SessionStore, Value, ValueKey, ValueSnapshot},
    time::Timestamp,
};

impl<S: SessionStore> World<S> {
    /// The key of a value that only this case has. None if the store keeps no values, and says so.
    async fn value_key(&self) -> Option<ValueKey> {
        let key = ValueKey::new(&self.realm, "conformance", &[&unique()]);
        if self.store.keeps_values() {
            return Some(key);
        }
        super::world::unsupported(&self.store.value(&key, self.base).await, "reading a value");
        let write = self.store.replace_value(&key, 0, Some(&self.value(b"")), self.base).await;
        super::world::unsupported(&write, "writing a value");
        None
    }

    fn value(&self, bytes: &[u8]) -> Value {
        Value { bytes: bytes.to_vec(), keep_until: self.base + DAY }
    }

    async fn read_value(&self, key: &ValueKey, now: Timestamp) -> ValueSnapshot {
        let found = ok(self.store.value(key, now).await);
        assert!(!found.applied, "reading writes nothing, so it says `applied: false`");
        assert_eq!(found.value.is_none(), found.version == 0, "a missing value has the version zero");
        found
    }

    async fn write_value(&self, key: &ValueKey, version: u64, to: Option<&Value>) -> ValueSnapshot {
        ok(self.store.replace_value(key, version, to, self.base).await)
    }
}

/// Writes, and checks that it applied. Returns the version.
async fn written<S: SessionStore>(w: &World<S>, key: &ValueKey, version: u64, to: &Value) -> u64 {
    let answer = w.write_value(key, version, Some(to)).await;
    assert!(answer.applied && answer.value.as_ref() == Some(to), "{answer:?}");
    assert!(answer.version != 0 && answer.version < 1 << 63);
    assert_eq!(w.read_value(key, w.base).await, ValueSnapshot { applied: false, ..answer.clone() });
    answer.version
}

pub(super) async fn value_reads_back_as_it_was_written<S: SessionStore>(w: World<S>) {
    let Some(key) = w.value_key().await else { return };
    assert_eq!(w.read_value(&key, w.base).await, ValueSnapshot::MISSING);
    let mut version = 0;
    let bytes: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    for bytes in [&bytes[..], b"", b"\0", b"\r\n", "☕ 'text' \\".as_bytes()] {
        version = written(&w, &key, version, &w.value(bytes)).await;
    }
    let far = Value { keep_until: Timestamp::from_millis(16_725_225_600_123), ..w.value(b"far") };
    written(&w, &key, version, &far).await;
}

pub(super) async fn value_of_another_version_is_a_conflict<S: SessionStore>(w: World<S>) {
    let Some(key) = w.value_key().await else { return };
    let missing = w.write_value(&key, 7, Some(&w.value(b"a"))).await;
    assert_eq!(missing, ValueSnapshot::MISSING, "there is nothing of that version");
    let first = written(&w, &key, 0, &w.value(b"a")).await;
    let second = written(&w, &key, first, &w.value(b"b")).await;
    let there = w.read_value(&key, w.base).await;
    for version in [0, first, second ^ 1] {
        for to in [Some(w.value(b"c")), None] {
            assert_eq!(
                w.write_value(&key, version, to.as_ref()).await,
                there,
                "a conflict says what there is"
            );
            assert_eq!(w.read_value(&key, w.base).await, there, "a conflict changes nothing");
        }
    }
}

pub(super) async fn removed_value_is_missing_and_its_version_never_comes_back<S: SessionStore>(w: World<S>) {
    let Some(key) = w.value_key().await else { return };
    assert!(w.write_value(&key, 0, None).await.applied, "there was nothing, and there is nothing");
    let first = written(&w, &key, 0, &w.value(b"a")).await;
    let removed = w.write_value(&key, first, None).await;
    assert_eq!(removed, ValueSnapshot { applied: true, ..ValueSnapshot::MISSING });
    assert_eq!(w.read_value(&key, w.base).await, ValueSnapshot::MISSING);
    let second = written(&w, &key, 0, &w.value(b"a")).await;
    assert_ne!(first, second);
    assert!(!w.write_value(&key, first, Some(&w.value(b"b"))).await.applied);
}

pub(super) async fn expired_value_is_missing_and_can_be_written_again<S: SessionStore>(w: World<S>) {
    let Some(key) = w.value_key().await else { return };
    let end = w.at(10);
    let value = Value { keep_until: end, ..w.value(b"a") };
    let version = written(&w, &key, 0, &value).await;
    let before = Timestamp::from_millis(end.as_millis() - 1);
    assert_eq!(w.read_value(&key, before).await.value, Some(value.clone()));
    assert!(!ok(w.store.replace_value(&key, 0, Some(&value), before).await).applied);
    assert_eq!(w.read_value(&key, end).await, ValueSnapshot::MISSING);
    let later = w.value(b"b");
    let late = ok(w.store.replace_value(&key, version, Some(&later), end).await);
    assert_eq!(late, ValueSnapshot::MISSING, "an expired value has no version");
    assert!(ok(w.store.replace_value(&key, 0, Some(&later), end).await).applied);
    assert_eq!(w.read_value(&key, end).await.value, Some(later));
}

pub(super) async fn values_with_other_names_are_isolated<S: SessionStore>(w: World<S>) {
    if w.value_key().await.is_none() {
        return;
    }
    let (realm, name) = (unique(), unique());
    let keys = [
        ValueKey::new(&realm, "a", &[&name, "b"]),
        ValueKey::new(&realm, "a", &["b", &name]),
        ValueKey::new(&realm, "a", &[&format!("{name}b")]),
        ValueKey::new(&realm, "b", &[&name, "b"]),
        ValueKey::new(&unique(), "a", &[&name, "b"]),
    ];
    for (index, key) in keys.iter().enumerate() {
        written(&w, key, 0, &w.value(index.to_string().as_bytes())).await;
    }
    for (index, key) in keys.iter().enumerate() {
        let found = w.read_value(key, w.base).await;
        assert_eq!(found.value, Some(w.value(index.to_string().as_bytes())));
    }
}

pub(super) async fn one_of_concurrent_writers_of_a_value_wins<S: SessionStore>(w: World<S>) {
    let Some(key) = w.value_key().await else { return };
    let mut version = 0;
    for round in 0_u8..4 {
        let start = Arc::new(Barrier::new(16));
        let mut racers = JoinSet::new();
        for racer in 0_u8..16 {
            let (w, start) = (w.clone(), start.clone());
            racers.spawn(async move {
                let value = w.value(&[round, racer]);
                start.wait().await;
                let answer = w.write_value(&key, version, Some(&value)).await;
                (answer.applied, answer.version, answer.value, value)
            });
        }
        let (won, lost): (Vec<_>, Vec<_>) = racers.join_all().await.into_iter().partition(|answer| answer.0);
        let [(_, next, there, written)] = &won[..] else { panic!("{} writers won", won.len()) };
        assert_eq!(there.as_ref(), Some(written));
        for (_, found, value, _) in &lost {
            assert_eq!((found, value), (next, there), "the others get what the winner wrote");
        }
        assert_eq!(w.read_value(&key, w.base).await.value, *there);
        version = *next;
    }
}

pub(super) async fn values_outlive_revocations_and_run_ids<S: SessionStore>(w: World<S>) {
    let Some(key) = w.value_key().await else { return };
    let version = written(&w, &key, 0, &w.value(b"a")).await;
    let session = w.open().await;
    w.end(&Revoke::Session(session.key), w.at(1)).await;
    w.next_run().await;
    assert_eq!(w.read_value(&key, w.base + Duration::from_secs(2)).await.version, version);
}
