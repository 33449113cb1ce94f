//! Access tokens as bearer tokens (RFC 6750).

use tower_sliding_sessions::oauth::Grant;

use crate::support::{TTL, World, idle};

#[tokio::test]
async fn bearer_token_is_accepted_only_where_the_layer_allows_it() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    assert_eq!(client.get(&world, "/me").await.text("subject"), "ann");
    assert_eq!(client.get(&world, "/optional").await.json, "ann");
    assert_eq!(client.get(&world, "/browsers").await.status, 401);
    for scheme in ["bearer", "BEARER", "bEaReR  "] {
        let authorization = format!("{scheme} {}", client.access);
        assert_eq!(world.get("/me", &[("authorization", &authorization)]).await.status, 200);
    }
}

#[tokio::test]
async fn response_to_a_bearer_token_sets_no_cookie_and_is_private() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let answer = client.get(&world, "/me").await;
    assert!(answer.set_cookies().is_empty());
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    assert_eq!(answer.header("vary"), Some("cookie, authorization"));
    let anonymous = world.get("/optional", &[]).await;
    assert_eq!(anonymous.header("vary"), Some("cookie, authorization"));
}

#[tokio::test]
async fn bearer_token_is_never_renewed() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let cookies = format!("__Host-access={}; __Host-refresh={}", client.access, client.refresh);
    let authorization = client.authorization();
    let headers = [("authorization", authorization.as_str()), ("cookie", cookies.as_str())];
    let calls = world.store.all_calls();
    world.pass(TTL - 1);
    let answer = world.get("/me", &headers).await;
    assert_eq!((answer.status, &answer.json["renewed"]), (200, &false.into()), "early renewal is due");
    world.pass(1);
    let answer = world.get("/me", &headers).await;
    assert_eq!(answer.status, 401, "the valid refresh cookie is not read");
    assert!(answer.set_cookies().is_empty());
    idle().await;
    assert_eq!(world.store.all_calls(), calls);
    let answer = world.get("/me", &headers[1..]).await;
    assert_eq!((answer.status, answer.set_cookies().len()), (200, 2), "with the cookies only, it is renewed");
}

#[tokio::test]
async fn cookies_next_to_a_bearer_token_are_ignored() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let cookies = world.cookies_of("bob").await;
    let authorization = client.authorization();
    let both = [("authorization", authorization.as_str()), ("cookie", cookies.as_str())];
    assert_eq!(world.get("/me", &both).await.text("subject"), "ann");
    assert_eq!(world.get("/me", &both[1..]).await.text("subject"), "bob");
    let conflict = [both[0], ("cookie", "__Host-access=a; __Host-access=b")];
    assert_eq!(world.get("/me", &conflict).await.status, 200);
    let bad = [("authorization", "Bearer x"), both[1]];
    assert_eq!(world.get("/me", &bad).await.status, 401);
    assert_eq!(world.get("/optional", &bad).await.status, 401);
}

#[tokio::test]
async fn bearer_token_is_accepted_in_a_cross_site_request() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let cookies = format!("__Host-access={}", client.access);
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let by_cookie = [foreign[0], foreign[1], ("cookie", &cookies)];
    assert_eq!(world.ask("POST", "/me", &by_cookie).await.status, 403);
    let authorization = client.authorization();
    let by_token = [foreign[0], foreign[1], ("authorization", &authorization)];
    assert_eq!(world.ask("POST", "/me", &by_token).await.status, 200);
}

#[tokio::test]
async fn bearer_token_over_plain_http_is_accepted_on_loopback_only() {
    let world = World::tuned(|builder| builder.cookies(|cookies| cookies.insecure_plain_http()));
    let tokens = world.sessions.issue_tokens(Grant::new("ann", Default::default()));
    let authorization = format!("Bearer {}", tokens.await.unwrap().access_token());
    assert_eq!(world.get("/me", &[("authorization", &authorization)]).await.status, 403);
    let request = http::Request::builder().uri("/me").header("host", "127.0.0.1:80");
    let request = request.header("authorization", &authorization).body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.send(request).await.status, 200);
}

#[tokio::test]
async fn bearer_token_confirms_its_generation_once() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    for _ in 0..3 {
        client.get(&world, "/me").await;
    }
    idle().await;
    assert_eq!(world.store.calls("confirm"), 0, "the first generation needs no confirmation");
    world.pass(TTL);
    client.renew(&world).await;
    for _ in 0..3 {
        client.get(&world, "/me").await;
    }
    idle().await;
    assert_eq!(world.store.calls("confirm"), 1);
}

#[tokio::test]
async fn bearer_token_of_a_revoked_session_is_refused_at_once() {
    let world = World::new();
    for how in ["one", "all", "everything"] {
        let client = world.signed_in("ann").await;
        assert_eq!(client.get(&world, "/me").await.status, 200);
        match how {
            "one" => {
                let session = world.sessions.list("ann").await.unwrap()[0].id;
                assert!(world.sessions.revoke("ann", session).await.unwrap());
            }
            "all" => assert_eq!(world.sessions.revoke_all("ann").await.unwrap(), 1),
            _ => drop(world.sessions.revoke_everything().await.unwrap()),
        }
        assert_eq!(client.get(&world, "/me").await.status, 401, "{how}");
        assert_eq!(client.get(&world, "/optional").await.status, 401, "{how}");
        assert_eq!(world.store.calls("get"), 0, "{how}: this instance knew");
        // For 5 s after `revoke_all`, this instance asks the store about the sessions of the user.
        world.pass(6);
    }
}

#[tokio::test]
async fn sign_out_by_bearer_token_touches_no_cookie() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let cookies = world.cookies_of("bob").await;
    let authorization = client.authorization();
    let both = [("authorization", authorization.as_str()), ("cookie", cookies.as_str())];
    let answer = world.ask("POST", "/logout", &both).await;
    assert_eq!((answer.status, answer.set_cookies().len()), (200, 0));
    assert_eq!(client.get(&world, "/me").await.status, 401);
    assert_eq!(
        world.get("/me", &both[1..]).await.text("subject"),
        "bob",
        "the session of the cookies stays valid"
    );
    assert_eq!(world.ask("POST", "/logout", &both[1..]).await.set_cookies().len(), 2);
}

#[tokio::test]
async fn events_hold_no_token() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    let mut shown = vec![client.access.clone(), client.refresh.clone()];
    world.pass(TTL);
    client.get(&world, "/me").await;
    client.renew(&world).await;
    client.get(&world, "/me").await;
    world.post("/oauth/revoke", &[("token", &client.access)]).await;
    client.get(&world, "/me").await;
    client.exchange(&world).await;
    shown.extend([client.access, client.refresh]);
    let story = world.story();
    for token in shown {
        let part = |n: usize| token.split('.').nth(n).unwrap();
        assert!(!story.contains(part(1)) && !story.contains(part(2)), "{story}");
    }
}
