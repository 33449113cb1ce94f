//! A new key signs on one instance before another one knows it. Clients get 503, and do not sign in
//! again.

use tower_sliding_sessions::Keyring;

use crate::support::{TTL, World, form};

const OLD: &[u8; 32] = b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
const NEW: &[u8; 32] = b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG";

fn promoted() -> Keyring {
    Keyring::hs256(NEW).unwrap().publish(Keyring::hs256(OLD).unwrap()).unwrap()
}

#[tokio::test]
async fn instance_without_the_new_key_answers_503_and_ends_no_session() {
    let one = World::new();
    let two = World::around(one.store.clone(), |builder| builder);
    one.sessions.set_keys(promoted());
    let mut client = one.signed_in("ann").await;

    let answer = client.get(&two, "/me").await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1")),
        "the client retries with the same token"
    );
    for _ in 0..2 {
        let answer = client.exchange(&two).await;
        assert!(answer.is_error(503, "temporarily_unavailable"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    for token in [&client.access, &client.refresh] {
        let answer = two.post("/oauth/revoke", &[("token", token)]).await;
        assert!(answer.is_error(503, "temporarily_unavailable"), "nothing was revoked");
        let asks = form("/oauth/introspect").header("authorization", "Basic c2VydmljZQ==");
        let answer = two.send(asks.body(format!("token={token}").into()).unwrap()).await;
        assert!(answer.is_error(503, "temporarily_unavailable"));
    }
    assert_eq!(client.get(&one, "/me").await.status, 200);

    for world in [&one, &two] {
        world.pass(TTL);
    }
    two.sessions.set_keys(promoted());
    assert_eq!(client.renew(&two).await.status, 200);
    assert_eq!(client.get(&two, "/me").await.status, 200);
    assert_eq!(client.get(&one, "/me").await.status, 200);
}
