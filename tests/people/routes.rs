//! The ready-made routes: a user lists and revokes their own sessions, and signs out.

use axum::{
    Router,
    http::{Method, StatusCode},
};
use serde_json::Value;
use tower_sliding_sessions::SessionId;

use crate::{
    near::{id, is_in},
    support::{Browser, Instance, TTL, Trouble, World},
};

fn account(world: &World) -> Instance {
    let app = Router::new().nest("/account", world.one.sessions.routes());
    Instance { app, ..world.one.clone() }
}

async fn listed(account: &Instance, browser: &Browser) -> Vec<Value> {
    let answer = account.answer(browser.get("/account/sessions")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_str(&answer.text().await).unwrap()
}

#[tokio::test]
async fn get_sessions_lists_the_users_sessions_and_marks_the_current_one() {
    let world = World::new();
    let account = account(&world);
    let began = world.one.sessions.now().as_secs();
    let phone = world.signed_in("ann").await;
    world.pass(60);
    let laptop = world.signed_in("ann").await;
    world.signed_in("bob").await;
    let list = listed(&account, &laptop).await;
    let sids: Vec<SessionId> =
        list.iter().map(|device| SessionId::decode(device["sid"].as_str().unwrap()).unwrap()).collect();
    assert_eq!(sids, [id(&phone), id(&laptop)]);
    assert_eq!((&list[0]["current"], &list[1]["current"]), (&Value::from(false), &Value::from(true)));
    assert_eq!(list[0]["created"], began);
    assert_eq!((&list[1]["last_seen"], &list[1]["from"]), (&Value::from(began + 60), &Value::Null));
}

#[tokio::test]
async fn delete_revokes_a_session_of_the_user_and_no_other() {
    let world = World::new();
    let account = account(&world);
    let (phone, laptop) = (world.signed_in("ann").await, world.signed_in("ann").await);
    let bob = world.signed_in("bob").await;
    let delete = async |of: &Browser| {
        let sid = serde_json::to_value(id(of)).unwrap();
        let path = format!("/account/sessions/{}", sid.as_str().unwrap());
        account.answer(laptop.send(Method::DELETE, &path)).await
    };
    assert_eq!(delete(&bob).await.status(), StatusCode::NO_CONTENT);
    assert!(is_in(&world.one, &bob).await);
    assert!(delete(&phone).await.touches_no_cookie());
    assert!(!is_in(&world.one, &phone).await);
    let bad = account.answer(laptop.send(Method::DELETE, "/account/sessions/bad")).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert!(is_in(&world.one, &laptop).await);
    assert!(delete(&laptop).await.removes_cookies());
    assert!(!is_in(&world.one, &laptop).await);
}

#[tokio::test]
async fn revoke_others_keeps_the_current_session_and_revoke_all_does_not() {
    let world = World::new();
    let account = account(&world);
    let (phone, laptop) = (world.signed_in("ann").await, world.signed_in("ann").await);
    let bob = world.signed_in("bob").await;
    let others = account.answer(laptop.post("/account/sessions/revoke-others")).await;
    assert_eq!(others.status(), StatusCode::NO_CONTENT);
    assert_eq!((is_in(&world.one, &phone).await, is_in(&world.one, &laptop).await), (false, true));
    let phone = world.signed_in("ann").await;
    let all = account.answer(laptop.post("/account/sessions/revoke-all")).await;
    assert_eq!((all.status(), all.removes_cookies()), (StatusCode::NO_CONTENT, true));
    assert_eq!((is_in(&world.one, &phone).await, is_in(&world.one, &laptop).await), (false, false));
    assert!(is_in(&world.one, &bob).await);
}

#[tokio::test]
async fn sign_out_works_with_an_expired_access_token_and_without_cookies() {
    let world = World::new();
    let account = account(&world);
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    for browser in [&browser, &Browser::new()] {
        let answer = account.answer(browser.post("/account/sign-out")).await;
        assert_eq!((answer.status(), answer.removes_cookies()), (StatusCode::NO_CONTENT, true));
    }
    assert!(!is_in(&world.one, &browser).await);
}

#[tokio::test]
async fn anonymous_cross_site_and_outage_answers_change_nothing() {
    let world = World::new();
    let account = account(&world);
    let browser = world.signed_in("ann").await;
    let anonymous = account.answer(Browser::new().get("/account/sessions")).await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    for path in ["/account/sign-out", "/account/sessions/revoke-all", "/account/sessions/revoke-others"] {
        let evil = browser.post(path).with("origin", Some("https://evil.example"));
        let evil = account.answer(evil.with("sec-fetch-site", Some("cross-site"))).await;
        assert_eq!((evil.status(), evil.touches_no_cookie()), (StatusCode::FORBIDDEN, true), "{path}");
    }
    world.store.trouble_everywhere(&Trouble::Fail);
    for path in ["/account/sign-out", "/account/sessions/revoke-all", "/account/sessions/revoke-others"] {
        let away = account.answer(browser.post(path)).await;
        assert_eq!(
            (away.status(), away.touches_no_cookie()),
            (StatusCode::SERVICE_UNAVAILABLE, true),
            "{path}"
        );
    }
    world.store.recover();
    assert!(is_in(&world.one, &browser).await);
}
