//! The challenge in a refusal (RFC 6750, section 3).

use tower_sliding_sessions::{EventKind, InvalidToken};

use crate::support::{TTL, World};

const INVALID_TOKEN: Option<&str> = Some(r#"Bearer error="invalid_token""#);
const INVALID_REQUEST: Option<&str> = Some(r#"Bearer error="invalid_request""#);

#[tokio::test]
async fn challenge_without_credentials_has_no_error_code() {
    let world = World::new();
    let answer = world.get("/me", &[]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(answer.header("vary"), Some("cookie, authorization"));
    assert_eq!(world.get("/browsers", &[]).await.header("www-authenticate"), Some("Cookie"));
    assert_eq!(world.get("/optional", &[]).await.status, 200);
    let other = world.get("/me", &[("authorization", "Basic YTpi")]).await;
    assert_eq!(
        (other.status, other.header("www-authenticate")),
        (401, Some("Bearer")),
        "another scheme is ignored"
    );
}

#[tokio::test]
async fn unusable_token_is_refused_by_an_optional_layer_too() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let revoked = world.signed_in("bob").await;
    world.sessions.revoke_all("bob").await.unwrap();
    let refresh = format!("Bearer {}", client.refresh);
    let expired = client.authorization();
    world.pass(TTL);
    for authorization in [&expired, &revoked.authorization(), &refresh, &"Bearer x".to_owned()] {
        for path in ["/me", "/optional"] {
            let answer = world.get(path, &[("authorization", authorization)]).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, INVALID_TOKEN));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.header("vary"), Some("cookie, authorization"));
            assert!(answer.set_cookies().is_empty());
        }
    }
}

#[tokio::test]
async fn api_client_is_not_redirected_to_the_sign_in_page() {
    let world = World::new();
    let page = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    assert_eq!(world.get("/page", &page).await.status, 303);
    let with_token = [page[0], page[1], ("authorization", "Bearer x")];
    let answer = world.get("/page", &with_token).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, INVALID_TOKEN));
}

#[tokio::test]
async fn malformed_or_repeated_header_is_an_invalid_request() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let good = client.authorization();
    let listed = format!("{good}, {good}");
    for path in ["/me", "/optional"] {
        let mut answers = vec![
            world.get(path, &[("authorization", &good), ("authorization", &good)]).await,
            world.get(path, &[("authorization", "Basic YTpi"), ("authorization", &good)]).await,
        ];
        for line in ["Bearer", "bearer ", "Bearer a b", &listed] {
            answers.push(world.get(path, &[("authorization", line)]).await);
        }
        for answer in answers {
            assert_eq!((answer.status, answer.header("www-authenticate")), (400, INVALID_REQUEST));
        }
    }
    assert_eq!(world.get("/browsers", &[("authorization", "Bearer")]).await.status, 401, "ignored");
}

#[tokio::test]
async fn token_above_the_length_limit_is_refused_before_it_is_hashed() {
    let world = World::new();
    let too_long = EventKind::AccessTokenInvalid(InvalidToken::TooLong);
    let token = "a".repeat(4097);
    let answer = world.get("/me", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!((answer.status, world.count(&too_long)), (401, 1));
    let answer = world.get("/me", &[("cookie", &format!("__Host-access={token}"))]).await;
    assert_eq!((answer.status, world.count(&too_long)), (401, 2));
    let answer = world.get("/me", &[("authorization", &format!("Bearer {}", &token[1..]))]).await;
    assert_eq!((answer.status, world.count(&too_long)), (401, 2));
}
