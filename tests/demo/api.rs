//! The demo's clients without cookies.

use axum::http::StatusCode;
use serde_json::Value;

use crate::{World, client::Answer, client::Jar};

impl World {
    async fn form(&self, path: &str, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("demo-introspects", "1")];
        self.client.send("POST", path, &Jar::default(), form, &headers).await
    }

    async fn tokens(&self, form: &str) -> Value {
        let answer = self.form("/token", form).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    async fn bearing(&self, tokens: &Value) -> Answer {
        let bearer = format!("Bearer {}", text(tokens, "access_token"));
        self.client.send("GET", "/me", &Jar::default(), "", &[("authorization", &bearer)]).await
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().expect("a text")
}

fn refresh(tokens: &Value) -> String {
    format!("grant_type=refresh_token&refresh_token={}", text(tokens, "refresh_token"))
}

#[tokio::test]
async fn phone_signs_in_renews_its_token_and_signs_out() {
    let world = World::new();
    let mut tokens = world.tokens("grant_type=password&username=alice").await;
    assert_eq!((text(&tokens, "token_type"), &tokens["expires_in"]), ("Bearer", &2.into()));
    for _ in 0..3 {
        let me = world.bearing(&tokens).await;
        assert_eq!((me.status, text(&me.json(), "sub")), (StatusCode::OK, "alice"));
        assert!(me.set_cookies.is_empty());
        world.settle().await;
        world.wait(5);
        let expired = world.bearing(&tokens).await;
        assert_eq!(expired.status, StatusCode::UNAUTHORIZED, "a bearer token is not renewed by the server");
        assert_eq!(expired.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
        tokens = world.tokens(&refresh(&tokens)).await;
    }
    let token = format!("token={}", text(&tokens, "refresh_token"));
    assert_eq!(world.form("/introspect", &token).await.json()["active"], true);
    assert_eq!(world.form("/revoke", &token).await.status, StatusCode::OK);
    assert_eq!(world.form("/introspect", &token).await.json(), serde_json::json!({"active": false}));
    assert_eq!(world.bearing(&tokens).await.status, StatusCode::UNAUTHORIZED);
    let refused = world.form("/token", &refresh(&tokens)).await;
    assert_eq!((refused.status, text(&refused.json(), "error")), (StatusCode::BAD_REQUEST, "invalid_grant"));
}

#[tokio::test]
async fn phone_is_listed_and_revoked_like_any_device() {
    let world = World::new();
    let mut admin = world.sign_in("root", &["admin"]).await;
    let mut laptop = world.sign_in("alice", &[]).await;
    let tokens = world.tokens("grant_type=password&username=alice").await;
    let devices = world.get("/sessions", &mut laptop).await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(2));
    let body = r#"{"roles": ["editor"]}"#;
    let given = world.client.post("/admin/users/alice/roles", &admin, body).await;
    assert_eq!(given.status, StatusCode::NO_CONTENT);
    assert_eq!(world.bearing(&tokens).await.json()["roles"], serde_json::json!(["editor"]));
    let tokens = world.tokens(&refresh(&tokens)).await;
    assert_eq!(world.bearing(&tokens).await.json()["roles"], serde_json::json!(["editor"]));
    let locked = world.client.post("/admin/users/alice/lock", &admin, "").await;
    assert_eq!(locked.status, StatusCode::NO_CONTENT);
    assert_eq!(world.bearing(&tokens).await.status, StatusCode::UNAUTHORIZED);
    for form in [refresh(&tokens), "grant_type=password&username=alice".to_owned()] {
        assert_eq!(text(&world.form("/token", &form).await.json(), "error"), "invalid_grant");
    }
    assert_eq!(world.get("/me", &mut admin).await.status, StatusCode::OK);
}
