//! The demo, driven over HTTP with a manual clock.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod api;
#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of a fleet")]
mod client;
#[path = "../../examples/demo/main.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod demo;
mod people;
mod settings;

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::StatusCode;
use tower_sliding_sessions::{Keyring, ManualClock, Sessions, Timestamp, protocol::Timing};

use self::client::{Answer, Client, Jar};

/// The demo with short lifetimes: grace period 1 s, write window 1 s, rotation interval 4 s.
struct World {
    client: Client,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let secs = Duration::from_secs;
        let timing = Timing::default()
            .access_ttl(secs(2))
            .idle_timeout(secs(60))
            .absolute_timeout(secs(600))
            .renew_before(Duration::ZERO)
            .grace(secs(1))
            .write_window(secs(1))
            .crash_window(Duration::ZERO)
            .late_body(secs(2))
            .rotation_interval(secs(4));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let builder = Sessions::builder(Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key"))
            .timing(|_| timing)
            .clock(clock.clone());
        let builder = demo::device::bind(builder, timing.access_ttl);
        let app = demo::App::new(builder).expect("a valid policy");
        let page = demo::page::render(app.sessions.policy());
        Self { client: Client::new(demo::router(&app, page)), clock }
    }

    fn wait(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// Waits for background writes.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn sign_in(&self, user: &str, roles: &[&str]) -> Jar {
        let mut jar = Jar::default();
        let body = serde_json::json!({"user": user, "roles": roles}).to_string();
        let answer = self.client.post("/login", &jar, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json()["sub"], user);
        jar.take(&answer);
        jar
    }

    async fn get(&self, path: &str, jar: &mut Jar) -> Answer {
        let answer = self.client.get(path, jar).await;
        jar.take(&answer);
        answer
    }

    /// The value of a counter.
    async fn count(&self, event: &str, outcome: &str) -> u64 {
        let answer = self.client.get("/metrics", &Jar::default()).await;
        let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        let counter = format!("sliding_sessions_events_total{{event=\"{event}\",outcome=\"{outcome}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&counter));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    async fn rotations(&self) -> u64 {
        self.count("session_renewed", "rotated").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_parallel_requests_with_one_expired_cookie_are_served_by_one_rotation() {
    let world = World::new();
    let mut jar = world.sign_in("alice", &[]).await;
    for round in 0..5 {
        // A request confirms the new generation, and the rotation interval passes.
        assert_eq!(world.get("/me", &mut jar).await.status, StatusCode::OK);
        world.settle().await;
        world.wait(5);
        let before = world.rotations().await;
        let requests = (0..1000).map(|_| {
            let (client, jar) = (world.client.clone(), jar.clone());
            tokio::spawn(async move { client.get("/me", &jar).await })
        });
        let mut refresh_tokens = HashMap::new();
        let mut last = None;
        for request in requests.collect::<Vec<_>>() {
            let answer = request.await.expect("no panic");
            assert_eq!(answer.status, StatusCode::OK, "round {round}: {answer:?}");
            assert!(!answer.removes_a_cookie(), "round {round}: {answer:?}");
            if let Some(token) = answer.cookie("__Host-refresh") {
                *refresh_tokens.entry(token).or_insert(0) += 1;
            }
            last = Some(answer);
        }
        assert_eq!(world.rotations().await - before, 1, "round {round}");
        assert_eq!(refresh_tokens.len(), 1, "round {round}: all responses set the same refresh token");
        jar.take(&last.expect("a thousand answers"));
    }
}

#[tokio::test]
async fn sign_out_during_a_renewed_request_is_final() {
    let world = World::new();
    let mut jar = world.sign_in("alice", &[]).await;
    world.wait(5);
    let slow = {
        let (client, jar) = (world.client.clone(), jar.clone());
        tokio::spawn(async move { client.get("/slow?ms=3000", &jar).await })
    };
    while world.rotations().await == 0 {
        tokio::task::yield_now().await;
    }
    let bye = world.client.post("/logout", &jar, "").await;
    assert_eq!(bye.status, StatusCode::NO_CONTENT);
    assert!(bye.removes_a_cookie());
    let late = slow.await.expect("no panic");
    assert_eq!(late.status, StatusCode::OK);
    assert!(late.set_cookies.is_empty(), "the late response sets no cookie: {late:?}");
    assert_eq!(world.get("/me", &mut jar).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn copied_token_used_after_its_grace_period_ends_the_session_for_both() {
    let world = World::new();
    let mut victim = world.sign_in("alice", &[]).await;
    let mut attacker = victim.clone();
    world.wait(5);
    world.get("/me", &mut victim).await;
    world.get("/me", &mut victim).await; // carries the successor, which confirms it
    world.settle().await;
    world.wait(2); // more than the grace period
    let caught = world.get("/me", &mut attacker).await;
    assert_eq!(caught.status, StatusCode::UNAUTHORIZED);
    assert!(caught.set_cookies.is_empty());
    assert_eq!(world.get("/me", &mut victim).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.count("authn_token_reuse", "").await, 1);
}

#[tokio::test]
async fn lost_response_costs_no_session() {
    let world = World::new();
    let mut jar = world.sign_in("alice", &[]).await;
    world.wait(5);
    for _ in 0..3 {
        // The response never arrives, so the jar does not change.
        assert_eq!(world.client.get("/me", &jar).await.status, StatusCode::OK);
        world.wait(7);
    }
    assert_eq!(world.get("/me", &mut jar).await.status, StatusCode::OK);
    assert_eq!(world.rotations().await, 1);
}

#[tokio::test]
async fn every_status_sets_the_renewed_cookies() {
    let world = World::new();
    let mut jar = world.sign_in("alice", &[]).await;
    for code in [500, 304, 204, 404] {
        world.wait(5);
        let answer = world.get(&format!("/status/{code}"), &mut jar).await;
        assert_eq!(answer.status.as_u16(), code);
        assert!(
            answer.cookie("__Host-access").is_some() && answer.cookie("__Host-refresh").is_some(),
            "{answer:?}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        world.get("/me", &mut jar).await;
        world.settle().await;
    }
}

#[tokio::test]
async fn devices_are_listed_and_revoked() {
    let world = World::new();
    let mut phone = world.sign_in("alice", &[]).await;
    let mut laptop = world.sign_in("alice", &[]).await;
    let mut mallory = world.sign_in("mallory", &[]).await;
    let devices = world.get("/sessions", &mut laptop).await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(2));
    let [theirs] =
        &devices.as_array().expect("a list").iter().filter(|d| d["current"] == false).collect::<Vec<_>>()[..]
    else {
        unreachable!("one of the two is another device");
    };
    let path = format!("/sessions/{}", theirs["sid"].as_str().expect("a sid"));
    let delete = async |jar: &Jar| world.client.send("DELETE", &path, jar, "", &[]).await;
    assert_eq!(
        delete(&mallory).await.status,
        StatusCode::NO_CONTENT,
        "another user's session: the same response, and no effect"
    );
    assert_eq!(world.get("/me", &mut phone).await.status, StatusCode::OK);
    assert_eq!(delete(&laptop).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/me", &mut phone).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/me", &mut laptop).await.status, StatusCode::OK);

    let mut tablet = world.sign_in("alice", &[]).await;
    assert_eq!(
        world.client.post("/sessions/revoke-others", &laptop, "").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.get("/me", &mut tablet).await.status, StatusCode::UNAUTHORIZED);
    let all = world.client.post("/sessions/end-all", &laptop, "").await;
    assert_eq!(all.status, StatusCode::NO_CONTENT);
    assert!(all.removes_a_cookie());
    assert_eq!(world.get("/me", &mut laptop).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/me", &mut mallory).await.status, StatusCode::OK);
}

#[tokio::test]
async fn emergency_stop_is_for_admins_and_revokes_all_sessions() {
    let world = World::new();
    let mut admin = world.sign_in("root", &["admin"]).await;
    let mut user = world.sign_in("alice", &[]).await;
    let refused = world.client.post("/admin/run-id", &user, "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(world.client.post("/admin/run-id", &admin, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/me", &mut user).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/me", &mut admin).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn invalid_anonymous_and_cross_site_requests_get_their_errors() {
    let world = World::new();
    let mut anonymous_jar = Jar::default();
    for body in ["", "{", "[]", r#"{"user": ""}"#, r#"{"user": 7}"#, r#"{"roles": []}"#] {
        assert_eq!(
            world.client.post("/login", &anonymous_jar, body).await.status,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    let anonymous = world.get("/me", &mut anonymous_jar).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.header("content-type"), Some("application/problem+json"));
    assert_eq!(world.get("/public", &mut anonymous_jar).await.json()["sub"], serde_json::Value::Null);
    assert_eq!(world.get("/nowhere", &mut anonymous_jar).await.status, StatusCode::NOT_FOUND);
    let elsewhere = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    let jar = world.sign_in("alice", &[]).await;
    for path in ["/login", "/logout", "/sessions/end-all"] {
        let answer = world.client.send("POST", path, &jar, r#"{"user":"eve"}"#, &elsewhere).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.set_cookies.is_empty());
    }
    assert_eq!(world.client.get("/me", &jar).await.status, StatusCode::OK);
    assert_eq!(world.get("/public", &mut jar.clone()).await.json()["sub"], "alice");
}
