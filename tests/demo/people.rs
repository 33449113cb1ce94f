//! The demo's users: roles, locks, re-authentication, devices, and pages that poll.

use axum::http::StatusCode;
use serde_json::json;

use crate::{World, client::Jar};

impl World {
    async fn post(&self, path: &str, jar: &mut Jar, body: &str) -> StatusCode {
        let answer = self.client.post(path, jar, body).await;
        jar.take(&answer);
        answer.status
    }

    async fn roles(&self, jar: &mut Jar) -> serde_json::Value {
        let answer = self.get("/me", jar).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["roles"].clone()
    }
}

#[tokio::test]
async fn roles_given_by_an_admin_apply_on_every_device_at_its_next_request() {
    let world = World::new();
    let mut admin = world.sign_in("root", &["admin"]).await;
    let (mut phone, mut laptop) = (world.sign_in("alice", &[]).await, world.sign_in("alice", &["a"]).await);
    let mut other = world.sign_in("bob", &["b"]).await;
    let before: Vec<_> = [&phone, &laptop].map(Jar::clone).into();
    let given = world.post("/admin/users/alice/roles", &mut admin, r#"{"roles": ["admin"]}"#).await;
    assert_eq!(given, StatusCode::NO_CONTENT);
    for device in [&mut phone, &mut laptop] {
        assert_eq!(world.roles(device).await, json!(["admin"]));
    }
    // The roles count, and no user signed in again.
    let path = "/admin/users/bob/roles";
    assert_eq!(world.post(path, &mut phone, r#"{"roles": ["c"]}"#).await, StatusCode::NO_CONTENT);
    assert_eq!(world.roles(&mut other).await, json!(["c"]));
    for (mut then, now) in before.into_iter().zip([&mut phone, &mut laptop]) {
        let (then, now) = (world.get("/me", &mut then).await.json(), world.get("/me", now).await.json());
        assert_eq!((&then["sid"], &then["auth_time"]), (&now["sid"], &now["auth_time"]));
    }
    // The roles stay, through renewals and through sign-ins that request none.
    world.wait(5);
    assert_eq!(world.roles(&mut laptop).await, json!(["admin"]));
    let mut tablet = Jar::default();
    assert_eq!(world.post("/login", &mut tablet, r#"{"user": "alice"}"#).await, StatusCode::OK);
    assert_eq!(world.roles(&mut tablet).await, json!(["admin"]));
    // Revoked roles are removed in the same way.
    assert_eq!(world.post("/admin/users/alice/roles", &mut admin, r#"{"roles": []}"#).await, 204);
    for device in [&mut phone, &mut laptop, &mut tablet] {
        assert_eq!(world.roles(device).await, json!([]));
        assert_eq!(world.post("/admin/run-id", device, "").await, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn locked_user_is_refused_on_both_devices_at_once_and_at_sign_in() {
    let world = World::new();
    let mut admin = world.sign_in("root", &["admin"]).await;
    let (mut phone, mut laptop) = (world.sign_in("alice", &[]).await, world.sign_in("alice", &[]).await);
    world.wait(5);
    assert_eq!(world.post("/admin/users/alice/lock", &mut admin, "").await, StatusCode::NO_CONTENT);
    for device in [&mut phone, &mut laptop] {
        assert_eq!(world.get("/me", device).await.status, StatusCode::UNAUTHORIZED);
    }
    let mut again = Jar::default();
    assert_eq!(world.post("/login", &mut again, r#"{"user": "alice"}"#).await, StatusCode::FORBIDDEN);
    let mut user = world.sign_in("bob", &[]).await;
    assert_eq!(world.post("/admin/users/root/lock", &mut user, "").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn session_changes_its_own_claims_at_once_and_no_other() {
    let world = World::new();
    let (mut phone, mut laptop) = (world.sign_in("alice", &[]).await, world.sign_in("alice", &[]).await);
    let changed = world.client.post("/profile", &phone, r#"{"roles": ["editor"]}"#).await;
    assert_eq!((changed.status, &changed.json()["roles"]), (StatusCode::OK, &json!(["editor"])));
    assert!(changed.cookie("__Host-access").is_some());
    phone.take(&changed);
    for _ in 0..3 {
        assert_eq!(world.roles(&mut phone).await, json!(["editor"]));
        assert_eq!(world.roles(&mut laptop).await, json!([]));
        world.wait(5);
    }
    for nonsense in ["", "{}", r#"{"roles": "admin"}"#] {
        assert_eq!(world.post("/profile", &mut phone, nonsense).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn dangerous_action_requires_a_recent_reauthentication_and_accepts_it() {
    let world = World::new();
    let mut jar = world.sign_in("alice", &[]).await;
    assert_eq!(world.post("/danger", &mut jar, "").await, StatusCode::NO_CONTENT, "the sign-in counts");
    world.wait(59);
    assert_eq!(world.post("/danger", &mut jar, "").await, StatusCode::NO_CONTENT);
    world.wait(2);
    let refused = world.client.post("/danger", &jar, "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(refused.json()["type"].as_str().is_some_and(|kind| kind.ends_with("ReauthenticationRequired")));
    let began = world.get("/me", &mut jar).await.json()["auth_time"].clone();
    assert_eq!(world.post("/sudo", &mut jar, "").await, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        assert_eq!(world.post("/danger", &mut jar, "").await, StatusCode::NO_CONTENT);
        assert_eq!(world.get("/me", &mut jar).await.json()["auth_time"], began);
        world.wait(30);
    }
    world.wait(1);
    assert_eq!(world.post("/danger", &mut jar, "").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn reuse_by_the_demos_attacker_signs_both_out() {
    let world = World::new();
    let mut victim = world.sign_in("alice", &[]).await;
    let attacker = world.client.post("/attacker", &victim, "").await.json();
    let attacker = attacker["attacker"].as_str().expect("a name");
    let ask = async || world.client.post(&format!("/attacker/{attacker}"), &Jar::default(), "").await.json();
    assert_eq!(ask().await["status"], 200, "a fresh copy is accepted");
    world.wait(5);
    world.get("/me", &mut victim).await;
    world.get("/me", &mut victim).await;
    world.settle().await;
    world.wait(2);
    assert_eq!(ask().await["status"], 401);
    assert_eq!(world.get("/me", &mut victim).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.count("authn_token_reuse", "").await, 1);
    assert_eq!(world.client.post("/attacker/99", &Jar::default(), "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn polling_page_is_signed_out_at_the_idle_timeout_and_an_active_user_is_not() {
    let world = World::new();
    let mut user = world.sign_in("alice", &[]).await;
    let mut poller = world.sign_in("bob", &[]).await;
    let poll = async |jar: &mut Jar| {
        let answer = world.client.send("GET", "/me", jar, "", &[("demo-passive", "1")]).await;
        jar.take(&answer);
        answer.status
    };
    // The idle timeout is 60 s.
    for seconds in (0..56).step_by(4) {
        assert_eq!(poll(&mut poller).await, StatusCode::OK, "after {seconds} s");
        assert_eq!(poll(&mut user).await, StatusCode::OK);
        assert_eq!(world.get("/me", &mut user).await.status, StatusCode::OK);
        world.settle().await;
        world.wait(4);
    }
    world.wait(5);
    assert_eq!(poll(&mut poller).await, StatusCode::UNAUTHORIZED);
    assert_eq!(poll(&mut user).await, StatusCode::OK);
    assert_eq!(world.get("/me", &mut user).await.status, StatusCode::OK);
}

#[tokio::test]
async fn invalid_names_and_too_large_roles_are_bad_requests_and_change_nothing() {
    let world = World::new();
    let mut admin = world.sign_in("root", &["admin"]).await;
    let mut alice = world.sign_in("alice", &["viewer"]).await;
    let long = "x".repeat(65);
    let huge = json!({"roles": ["x".repeat(4000)]}).to_string();
    let many = json!({"roles": vec!["editor"; 100]}).to_string();
    for body in [&huge, &many] {
        assert_eq!(world.post("/admin/users/alice/roles", &mut admin, body).await, StatusCode::BAD_REQUEST);
        assert_eq!(world.post("/profile", &mut alice, body).await, StatusCode::BAD_REQUEST);
    }
    let login = json!({"user": "bob", "roles": ["x".repeat(4000)]}).to_string();
    assert_eq!(world.post("/login", &mut Jar::default(), &login).await, StatusCode::BAD_REQUEST);
    for user in ["", &long] {
        let (roles, lock) = (format!("/admin/users/{user}/roles"), format!("/admin/users/{user}/lock"));
        assert_eq!(world.post(&roles, &mut admin, r#"{"roles": []}"#).await, StatusCode::BAD_REQUEST);
        assert_eq!(world.post(&lock, &mut admin, "").await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(world.roles(&mut alice).await, json!(["viewer"]));
}
