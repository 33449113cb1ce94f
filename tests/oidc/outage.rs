//! Several instances with one store, and a store that fails.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use futures_util::FutureExt as _;
use serde_json::json;
use tower_sliding_sessions::{CookieJar, ManualClock, Timestamp};

use crate::{
    failing_store::FailingStore,
    fake::Fake,
    logout::{post, token},
    site::{NOW, Site, location},
};

fn site(store: &FailingStore) -> Site {
    let store = store.clone();
    Site::with(|sessions| sessions.store(store), |oidc| oidc)
}

#[tokio::test]
async fn outage_of_the_store_leaves_the_logout_token_good() {
    let store = FailingStore::new();
    let site = site(&store);
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let good = token(&json!({}));
    for operation in ["value", "replace_value", "revoke"] {
        store.fail(&[operation]);
        let response = post(&site, &good).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{operation}");
        assert!(response.headers().contains_key("retry-after"));
    }
    store.fail(&[]);
    assert_eq!(post(&site, &good).await.status(), StatusCode::OK);
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(post(&site, &good).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn sign_in_that_no_logout_would_find_fails() {
    let store = FailingStore::new();
    let site = site(&store);
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    store.fail(&["replace_value"]);
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(site.outcomes("oidc_failed"), ["index"]);
    assert_eq!(jar.names().count(), 0);
    assert!(site.sessions.list("user-alice").await.expect("a list").is_empty());
}

#[tokio::test]
async fn sign_out_during_an_outage_keeps_the_session() {
    let store = FailingStore::new();
    let site = site(&store);
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    for operation in ["get", "revoke"] {
        store.fail(&[operation]);
        let response = site.send(&mut jar, Method::POST, "/auth/sign-out", &[], "").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{operation}");
    }
    store.fail(&[]);
    assert!(site.me(&mut jar).await.is_ok(), "so the user can try again");
    let response = site.send(&mut jar, Method::POST, "/auth/sign-out", &[], "").await;
    assert!(location(&response).starts_with("https://provider.example/end?"));
}

#[tokio::test]
async fn store_without_values_signs_in_and_answers_501_to_logout_tokens() {
    let site = site(&FailingStore::new().without_values());
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    assert_eq!(post(&site, &token(&json!({}))).await.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(site.me(&mut jar).await.is_ok());
    // A stranger does not reach the store.
    assert_eq!(post(&site, "a.b.c").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn logout_on_one_instance_ends_sessions_and_streams_of_another() {
    let store = FailingStore::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    let provider = Fake::new();
    let [here, there] = [(); 2].map(|()| {
        let store = store.clone();
        Site::instance(provider.clone(), clock.clone(), |sessions| sessions.store(store), |oidc| oidc)
    });
    let mut jar = CookieJar::default();
    // One instance sends the browser to the provider, and the other one gets it back.
    let started = here.start(&mut jar, "").await;
    assert_eq!(there.answer(&mut jar, &started, json!({})).await.status(), StatusCode::SEE_OTHER);
    let me = here.me(&mut jar).await.expect("signed in");
    assert_eq!(me["sub"], "user-alice");
    let stream = here.stream(&mut jar).await;
    assert_eq!(post(&there, &token(&json!({}))).await.status(), StatusCode::OK);
    tokio::time::timeout(Duration::from_secs(10), stream).await.expect("the stream ends");
    assert_eq!(here.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn hundred_copies_of_a_logout_token_at_once_count_once() {
    let site = site(&FailingStore::new());
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let good = token(&json!({}));
    let posts = (0..100).map(|_| post(&site, &good));
    let answers = futures_util::future::join_all(posts).await;
    let count = |status| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(StatusCode::OK), count(StatusCode::BAD_REQUEST)), (1, 99));
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn revocation_that_fails_does_not_keep_the_others() {
    let store = FailingStore::new();
    let site = site(&store);
    let mut jars = [(); 3].map(|()| CookieJar::default());
    for jar in &mut jars {
        site.sign_in(jar, json!({})).await;
    }
    let good = token(&json!({}));
    store.fail_once("revoke");
    assert_eq!(post(&site, &good).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut live = 0;
    for jar in &mut jars {
        live += usize::from(site.me(jar).await.is_ok());
    }
    assert_eq!(live, 1);
    assert_eq!(post(&site, &good).await.status(), StatusCode::OK, "it was not used");
    for jar in &mut jars {
        assert_eq!(site.me(jar).await, Err(StatusCode::UNAUTHORIZED));
    }
}

#[tokio::test]
async fn logout_goes_on_when_the_provider_hangs_up() {
    let site = site(&FailingStore::new());
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let good = token(&json!({}));
    assert!(post(&site, &good).now_or_never().is_none(), "it was dropped too late");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(site.outcomes("oidc_logged_out_by_provider"), [""]);
}

#[tokio::test]
async fn oldest_session_stays_in_the_index_until_it_is_revoked() {
    let store = FailingStore::new();
    let site = site(&store);
    let mut jars: Vec<_> = (0..101).map(|_| CookieJar::default()).collect();
    let (last, others) = jars.split_last_mut().expect("101");
    for jar in &mut *others {
        site.sign_in(jar, json!({})).await;
    }
    let started = site.start(last, "").await;
    store.fail(&["revoke"]);
    let response = site.answer(last, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    store.fail(&[]);
    assert!(site.me(&mut others[0]).await.is_ok());
    assert_eq!(post(&site, &token(&json!({}))).await.status(), StatusCode::OK);
    for jar in others {
        assert_eq!(site.me(jar).await, Err(StatusCode::UNAUTHORIZED));
    }
}
