//! The store is unavailable: clients get 503, and no session ends.

use tower_sliding_sessions::EventKind;

use crate::support::{TTL, Trouble, World};

#[tokio::test]
async fn refresh_token_is_valid_again_after_an_outage() {
    for trouble in [Trouble::Fail, Trouble::FailAfter] {
        let world = World::new();
        let mut client = world.signed_in("ann").await;
        world.pass(TTL);
        world.store.trouble_everywhere(&trouble);
        for _ in 0..3 {
            let answer = client.exchange(&world).await;
            assert!(answer.is_error(503, "temporarily_unavailable"));
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        world.store.recover();
        assert_eq!(client.renew(&world).await.status, 200);
        assert_eq!(client.get(&world, "/me").await.status, 200);
        assert_eq!(world.store.rotations(), 1);
        assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    }
}

#[tokio::test]
async fn revocation_in_an_outage_gets_503() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.store.trouble("revoke", Trouble::Fail);
    let answer = world.post("/oauth/revoke", &[("token", &client.refresh)]).await;
    assert!(answer.is_error(503, "temporarily_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"), "RFC 7009, section 2.2.1");
    world.store.recover();
    assert_eq!(world.post("/oauth/revoke", &[("token", &client.refresh)]).await.status, 200);
    assert_eq!(client.get(&world, "/me").await.status, 401);
}

#[tokio::test]
async fn valid_bearer_token_makes_no_store_call() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.store.trouble_everywhere(&Trouble::Hang);
    world.pass(TTL - 1);
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn expired_bearer_token_is_refused_in_an_outage() {
    let world = World::tuned(|builder| builder.ride_through(std::time::Duration::from_secs(600)));
    let client = world.signed_in("ann").await;
    world.store.trouble_everywhere(&Trouble::Fail);
    world.pass(TTL);
    assert_eq!(client.get(&world, "/me").await.status, 401, "it is never renewed");
}
