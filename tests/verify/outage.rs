//! The issuer does not answer.

use std::time::Duration;

use tower_sliding_sessions::EventKind;

use crate::support::{Issuer, Reply, Script, Service, public, settle};

#[tokio::test]
async fn tokens_are_served_through_an_outage_of_ten_minutes() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys(&[public()])]);
    let service = Service::at(&issuer, &client, |builder| builder);
    assert_eq!(service.status(&tokens.access).await, 200);
    client.set(Reply::Fails);
    let mut tokens = tokens;
    for step in 1..=60 {
        issuer.pass(10);
        // A client still gets tokens: only the address of the keys does not answer.
        if step % 24 == 0 {
            tokens = issuer.sign_in().await;
        }
        assert_eq!(service.status(&tokens.access).await, 200);
        settle().await;
    }
    let attempts = client.fetches();
    assert!((10..=16).contains(&attempts), "{attempts} fetches: the pause grows to a minute");
    let failures = service.reported().into_iter().filter(|event| *event == EventKind::KeyFetchFailed).count();
    assert_eq!(failures, attempts - 1, "each failure is reported");
    client.set(Reply::keys(&[public()]));
    issuer.pass(60);
    service.status(&tokens.access).await;
    settle().await;
    assert_eq!(client.fetches(), attempts + 1);
    assert!(!service.reported().contains(&EventKind::KeyFetchFailed));
}

#[tokio::test]
async fn unknown_key_during_an_outage_gets_503() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::Fails]);
    let service = Service::at(&issuer, &client, |builder| builder);
    let answer = service.get(&tokens.access).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (503, 1), "it does not wait");
    assert_eq!(service.status("not-a-token").await, 401);
    client.set(Reply::keys(&[public()]));
    issuer.pass(10);
    assert_eq!(service.status(&tokens.access).await, 200);
}

#[tokio::test]
async fn keys_that_are_too_old_verify_nothing() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys(&[public()]), Reply::Fails]);
    let minute = Duration::from_secs(60);
    let service =
        Service::at(&issuer, &client, |builder| builder.key_max_age(minute).use_stale_keys_for(minute));
    assert_eq!(service.status(&tokens.access).await, 200);
    issuer.pass(119);
    assert_eq!(service.status(&tokens.access).await, 200);
    settle().await;
    issuer.pass(1);
    assert_eq!(service.status(&tokens.access).await, 503);
    assert!(service.reported().contains(&EventKind::KeysTooOld));
    assert_eq!(service.status(&tokens.access).await, 503);
    assert!(!service.reported().contains(&EventKind::KeysTooOld), "once");
    client.set(Reply::keys(&[public()]));
    issuer.pass(60);
    assert_eq!(service.status(&tokens.access).await, 200);
}
