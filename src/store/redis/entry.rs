//! The form of an event in the stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    id::{RunId, SessionId},
    store::{FeedEvent, SessionKey, StoreError, Subject},
    time::Timestamp,
};

/// An entry of the stream, as JSON. The scripts write `Tick`. They also put the session ID into the event of a
/// revocation: see [`around_id`].
#[derive(Serialize, Deserialize)]
enum Entry {
    #[serde(rename = "revoked")]
    Revoked { realm: Arc<str>, sub: Arc<str>, sid: SessionId },
    #[serde(rename = "all")]
    SubjectRevoked { realm: Arc<str>, sub: Arc<str>, before: Timestamp, except: Option<SessionId> },
    #[serde(rename = "stale")]
    Stale { realm: Arc<str>, sub: Arc<str>, sid: Option<SessionId>, at: Timestamp },
    #[serde(rename = "run")]
    Run { run: RunId },
    #[serde(rename = "tick")]
    Tick,
}

/// The content of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Event(FeedEvent),
    Nothing,
    /// The entry cannot be read, so another version of this crate has written it.
    Unknown,
}

pub(super) fn encode(event: &FeedEvent) -> Result<String, StoreError> {
    let names = |subject: &Subject| (subject.realm.clone(), subject.name.clone());
    serde_json::to_string(&match event {
        FeedEvent::Revoked(SessionKey { subject, id }) => {
            let (realm, sub) = names(subject);
            Entry::Revoked { realm, sub, sid: *id }
        }
        FeedEvent::SubjectRevoked { subject, before, except } => {
            let (realm, sub) = names(subject);
            Entry::SubjectRevoked { realm, sub, before: *before, except: *except }
        }
        FeedEvent::SessionStale(SessionKey { subject, id }, at) => {
            let (realm, sub) = names(subject);
            Entry::Stale { realm, sub, sid: Some(*id), at: *at }
        }
        FeedEvent::SubjectStale(subject, at) => {
            let (realm, sub) = names(subject);
            Entry::Stale { realm, sub, sid: None, at: *at }
        }
        FeedEvent::Run(run) => Entry::Run { run: *run },
    })
    .map_err(StoreError::corrupt)
}

/// The text before and the text after the session ID, in the event that a session of `subject` was revoked.
pub(super) fn around_id(subject: &Subject) -> Result<[String; 2], StoreError> {
    let id = SessionId::from_bytes([0; 32]);
    let text = encode(&FeedEvent::Revoked(SessionKey { subject: subject.clone(), id }))?;
    // Splits at the last match, because the name of a subject may look like this session ID.
    let (head, tail) = text.rsplit_once(&id.encode()).unwrap_or((&text, ""));
    Ok([head.to_owned(), tail.to_owned()])
}

pub(super) fn decode(text: &[u8]) -> Said {
    let Ok(entry) = serde_json::from_slice(text) else { return Said::Unknown };
    Said::Event(match entry {
        Entry::Revoked { realm, sub, sid } => {
            FeedEvent::Revoked(SessionKey { subject: Subject { realm, name: sub }, id: sid })
        }
        Entry::SubjectRevoked { realm, sub, before, except } => {
            FeedEvent::SubjectRevoked { subject: Subject { realm, name: sub }, before, except }
        }
        Entry::Stale { realm, sub, sid, at } => {
            let subject = Subject { realm, name: sub };
            match sid {
                Some(id) => FeedEvent::SessionStale(SessionKey { subject, id }, at),
                None => FeedEvent::SubjectStale(subject, at),
            }
        }
        Entry::Run { run } => FeedEvent::Run(run),
        Entry::Tick => return Said::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_between_head_and_tail_is_the_event_of_its_revocation() {
        let zeros = SessionId::from_bytes([0; 32]).encode();
        for name in ["a", "\"", "☕\n\\", &zeros] {
            let subject = Subject { realm: zeros.as_str().into(), name: name.into() };
            let [head, tail] = around_id(&subject).expect("text");
            let id = SessionId::from_bytes([7; 32]);
            let event = FeedEvent::Revoked(SessionKey { subject, id });
            assert_eq!(decode(format!("{head}{}{tail}", id.encode()).as_bytes()), Said::Event(event));
        }
        assert_eq!(decode(b"\"tick\""), Said::Nothing);
        assert_eq!(decode(b"{\"later\":1}"), Said::Unknown);
    }
}
