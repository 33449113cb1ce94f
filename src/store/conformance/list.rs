//! A subject's live sessions.

use super::world::{World, ok, unsupported};
use crate::store::SessionStore;

pub(super) async fn live_sessions_are_listed_oldest_first<S: SessionStore>(w: World<S>) {
    let subject = w.subject();
    if !w.store.can_list() {
        return unsupported(&w.store.list(&subject, w.base).await, "list");
    }
    assert!(w.listed(&subject, w.base).await.is_empty(), "no session is no error");
    let mut sessions = Vec::new();
    // Opened in another order than they began, and two in the same second.
    for secs in [40, 10, 30, 0, 20] {
        sessions.push(w.open_for(&subject, w.at(secs)).await);
    }
    let soon_after = w.at(20) + std::time::Duration::from_millis(1);
    sessions.push(w.open_for(&subject, soon_after).await);
    let _stranger = w.open().await;
    sessions.sort_by_key(|session| session.record.family.created_at);
    let records: Vec<_> = sessions.iter().map(|session| session.record.clone()).collect();
    assert_eq!(ok(w.store.list(&subject, w.at(50)).await), records, "whole records, oldest first");

    // Use changes no order, and is seen.
    let used = sessions.remove(0);
    assert!(w.advance(&used.key, 0, w.at(60)).await.applied);
    let first = ok(w.store.list(&subject, w.at(61)).await).into_iter().next();
    assert_eq!(first, w.get(&used.key).await.record);

    let ended = sessions.remove(2);
    assert!(w.revoke(&ended.key, w.at(70)).await);
    let live: Vec<_> = [used].iter().chain(&sessions).map(|session| session.key.id).collect();
    assert_eq!(w.listed(&subject, w.at(71)).await, live, "what has ended is not listed");
}
