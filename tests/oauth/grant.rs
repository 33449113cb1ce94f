//! The token endpoint: sign-in (RFC 6749, sections 4.3, 4.5 and 5).

use tower_sliding_sessions::{EventKind, oauth::Grant};

use crate::support::{Client, Trouble, World};

#[tokio::test]
async fn correct_password_begins_a_session_and_returns_its_tokens() {
    let world = World::new();
    let answer = world.token(&[("grant_type", "password"), ("username", "ann"), ("password", "right")]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.is_not_stored());
    let members: Vec<_> = answer.json.as_object().unwrap().keys().map(String::as_str).collect();
    #[rustfmt::skip]
    assert_eq!(members, [
        "access_token", "authorization_expires_in", "expires_in", "refresh_token", "refresh_token_expires_in",
        "refresh_token_timeout", "token_type",
    ]);
    assert_eq!(answer.json["token_type"], "Bearer");
    assert_eq!(answer.json["expires_in"], 300);
    assert_eq!(world.count(&EventKind::SignedIn), 1);

    let me = Client::of(&answer).get(&world, "/me").await;
    assert_eq!((me.status, me.text("subject"), me.text("role")), (200, "ann".into(), "user".into()));
    assert_eq!(me.json["methods"], serde_json::json!(["pwd"]));
    assert_eq!(world.sessions.list("ann").await.unwrap().len(), 1, "an ordinary session");
}

#[tokio::test]
async fn wrong_password_is_an_invalid_grant() {
    let world = World::new();
    let answer = world.token(&[("grant_type", "password"), ("username", "ann"), ("password", "no")]).await;
    assert!(answer.is_error(400, "invalid_grant"));
    assert_eq!(world.store.all_calls(), 0);
}

#[tokio::test]
async fn answers_of_the_application_have_the_standard_error_codes() {
    let world = World::new();
    let device =
        async |code: &str| world.token(&[("grant_type", "urn:example:device"), ("device_code", code)]).await;
    assert!(device("").await.is_error(400, "invalid_request"));
    assert!(device("pending").await.is_error(400, "authorization_pending"));
    assert!(device("hasty").await.is_error(400, "slow_down"));
    assert!(device("refused").await.is_error(400, "access_denied"));
    assert!(device("late").await.is_error(400, "expired_token"));
    let stranger = device("good").await;
    assert!(stranger.is_error(401, "invalid_client"));
    assert_eq!(stranger.header("www-authenticate"), Some(r#"Basic realm="oauth""#));
    let later = world.token(&[("grant_type", "password"), ("username", "a"), ("password", "later")]).await;
    assert!(later.is_error(503, "temporarily_unavailable"));
    assert_eq!(later.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn unknown_grant_is_unsupported_and_a_missing_one_is_an_invalid_request() {
    let world = World::new();
    let unknown = world.token(&[("grant_type", "client_credentials")]).await;
    assert!(unknown.is_error(400, "unsupported_grant_type"));
    assert!(world.token(&[("username", "ann")]).await.is_error(400, "invalid_request"));
    assert!(world.token(&[("grant_type", "")]).await.is_error(400, "invalid_request"));
    assert!(world.token(&[("grant_type", "refresh_token")]).await.is_error(400, "invalid_request"));
    let without_username = [("grant_type", "password"), ("password", "right")];
    assert!(world.token(&without_username).await.is_error(400, "invalid_request"));
}

#[tokio::test]
async fn scope_and_unknown_parameters_are_ignored() {
    let world = World::new();
    let parameters = [
        ("grant_type", "password"),
        ("username", "ann"),
        ("password", "right"),
        ("scope", "everything"),
        ("client_id", "phone"),
        ("x", "y"),
    ];
    let answer = world.token(&parameters).await;
    assert_eq!((answer.status, answer.json.get("scope")), (200, None));
}

#[tokio::test]
async fn sign_in_in_an_outage_gets_503_and_can_be_tried_again() {
    let world = World::new();
    world.store.trouble("create", Trouble::Fail);
    let password = [("grant_type", "password"), ("username", "ann"), ("password", "right")];
    let answer = world.token(&password).await;
    assert!(answer.is_error(503, "temporarily_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.store.recover();
    assert_eq!(world.token(&password).await.status, 200);
}

#[tokio::test]
async fn claims_too_large_for_a_token_refuse_the_sign_in() {
    let world = World::new();
    let long = [("grant_type", "urn:example:device"), ("device_code", "long")];
    assert!(world.token(&long).await.is_error(500, "server_error"));
    assert_eq!(world.store.calls("create"), 0);
}

#[tokio::test]
async fn custom_handler_returns_tokens_and_its_debug_output_hides_them() {
    use axum::response::IntoResponse as _;
    let world = World::new();
    let grant = Grant::new("ann", Default::default()).by(["hwk"]);
    assert_eq!(format!("{grant:?}"), r#"Grant { subject: "ann", .. }"#);
    let tokens = world.sessions.issue_tokens(grant).await.unwrap();
    let debug = format!("{tokens:?}");
    assert!(!debug.contains("ey") && debug.contains("SessionId(#"), "{debug}");
    assert_eq!(tokens.session_id(), world.sessions.list("ann").await.unwrap()[0].id);
    assert_eq!(tokens.expires_in().as_secs(), 300);
    let (access, refresh) = (tokens.access_token().to_owned(), tokens.refresh_token().unwrap().to_owned());
    let answer = crate::support::Answer::of(tokens.into_response()).await;
    assert!(answer.is_not_stored());
    assert_eq!((answer.text("access_token"), answer.text("refresh_token")), (access, refresh));
    let me = Client::of(&answer).get(&world, "/me").await;
    assert_eq!(me.json["methods"], serde_json::json!(["hwk"]));
}
