//! What the store cannot do, and the effect on an application.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_sliding_sessions::{
    Keyring, Session, Sessions,
    store::{Cap, CreateError, MemcachedStore, Revoke, SessionKey, SessionStore as _, StoreError},
};

use super::{address, now, record, store, subject, unique};

#[tokio::test]
async fn unsupported_operations_are_reported_as_such() {
    let (store, subject) = (store().await, subject());
    assert!(!store.has_feed() && !store.can_list());
    let all = Revoke::Subject { subject: subject.clone(), before: None, except: None };
    assert!(matches!(store.revoke(&all, now()).await, Err(StoreError::Unsupported(_))));
    assert!(matches!(store.list(&subject, now()).await, Err(StoreError::Unsupported(_))));
    let cap = Cap::Refuse(3);
    let created = store.create(&subject, &record(now()), Some(cap)).await;
    assert!(matches!(created, Err(CreateError::Store(StoreError::Unsupported(_)))));
}

#[tokio::test]
async fn unreachable_server_is_unavailable() {
    let store = MemcachedStore::new("127.0.0.1:1");
    let key = SessionKey { subject: subject(), id: record(now()).id() };
    assert!(matches!(store.get(&key).await, Err(StoreError::Unavailable(_))));
}

/// A session reads this store on every request, so a revocation counts at once on every instance.
#[tokio::test]
async fn every_request_reads_the_store_so_a_revocation_counts_on_all_instances_at_once() {
    let (prefix, keys) = (unique(), Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key"));
    let instance = || {
        let store = MemcachedStore::new(&address()).with_prefix(&prefix);
        let sessions = Sessions::<()>::builder(keys.clone()).store(store).build().expect("a valid policy");
        let app = service_fn(|request: Request<Full<Bytes>>| async move {
            assert!(Session::<()>::of(&request).is_some());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        (sessions.layer().layer(app), sessions)
    };
    let ((one, sessions), (other, _)) = (instance(), instance());
    let cookie = sessions.cookie_of("ann", ()).await.expect("a session");
    let request = || Request::get("/").header("cookie", &cookie).body(Full::default()).expect("a request");
    for app in [&one, &other] {
        let answer = app.clone().oneshot(request()).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("set-cookie"), "a read is no renewal");
    }
    let bye = sessions.visitor(&request()).expect("not from elsewhere").sign_out().await;
    assert!(bye.is_ok());
    for app in [one, other] {
        assert_eq!(app.oneshot(request()).await.expect("an answer").status(), 401);
    }
}
