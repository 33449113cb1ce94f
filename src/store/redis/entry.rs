//! An event as it stands in the stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    id::{RunId, SessionId},
    store::{FeedEvent, SessionKey, Subject},
    time::Timestamp,
};

#[derive(Serialize, Deserialize)]
enum Entry {
    #[serde(rename = "end")]
    Ended { realm: Arc<str>, sub: Arc<str>, sid: SessionId },
    #[serde(rename = "stale")]
    Stale { realm: Arc<str>, sub: Arc<str>, sid: Option<SessionId>, at: Timestamp },
    #[serde(rename = "run")]
    Run { run: RunId },
}

pub(super) fn encode(event: &FeedEvent) -> Result<String, serde_json::Error> {
    let names = |subject: &Subject| (subject.realm.clone(), subject.name.clone());
    serde_json::to_string(&match event {
        FeedEvent::Revoked(SessionKey { subject, id }) => {
            let (realm, sub) = names(subject);
            Entry::Ended { realm, sub, sid: *id }
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
}

/// The event in a text; none if the text is not one.
pub(super) fn decode(text: &[u8]) -> Option<FeedEvent> {
    Some(match serde_json::from_slice(text).ok()? {
        Entry::Ended { realm, sub, sid } => {
            FeedEvent::Revoked(SessionKey { subject: Subject { realm, name: sub }, id: sid })
        }
        Entry::Stale { realm, sub, sid, at } => {
            let subject = Subject { realm, name: sub };
            match sid {
                Some(id) => FeedEvent::SessionStale(SessionKey { subject, id }, at),
                None => FeedEvent::SubjectStale(subject, at),
            }
        }
        Entry::Run { run } => FeedEvent::Run(run),
    })
}
