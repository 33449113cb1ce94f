//! The demo, driven over HTTP as anybody could drive it, but by a clock that stands still.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "in a test, that is how things fail")]

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

/// The demo with short lifetimes: G 1 s, W 1 s, M 4 s.
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
        let app = demo::App::new(builder).expect("within the proof");
        let page = demo::page::render(app.sessions.policy());
        Self { client: Client::new(demo::router(&app, page)), clock }
    }

    fn wait(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// Lets the writes behind the requests happen.
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

    /// How often that was counted.
    async fn count(&self, event: &str, outcome: &str) -> u64 {
        let answer = self.client.get("/metrics", &Jar::default()).await;
        let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        let counter = format!("sliding_sessions_events_total{{event=\"{event}\",outcome=\"{outcome}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&counter));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    async fn rotations(&self) -> u64 {
        self.count("session_renewed", "advanced").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_parallel_requests_with_one_expired_cookie_are_served_by_one_rotation() {
    let world = World::new();
    let mut jar = world.sign_in("alice", &[]).await;
    for round in 0..5 {
        // The new generation is seen in use, and more than M passes.
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
        assert_eq!(refresh_tokens.len(), 1, "round {round}: everyone gets the same refresh token");
        jar.take(&last.expect("a thousand answers"));
    }
}

#[tokio::test]
async fn signing_out_while_a_renewed_request_runs_stays_signed_out() {
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
    assert!(late.set_cookies.is_empty(), "the late response brings no cookie back: {late:?}");
    assert_eq!(world.get("/me", &mut jar).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_copied_copy_that_is_used_after_its_grace_ends_the_session_for_both() {
    let world = World::new();
    let mut victim = world.sign_in("alice", &[]).await;
    let mut attacker = victim.clone();
    world.wait(5);
    world.get("/me", &mut victim).await;
    world.get("/me", &mut victim).await; // carries the successor, which confirms it
    world.settle().await;
    world.wait(2); // more than a grace
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
        // The answer never arrives, so the jar stays as it is.
        assert_eq!(world.client.get("/me", &jar).await.status, StatusCode::OK);
        world.wait(7);
    }
    assert_eq!(world.get("/me", &mut jar).await.status, StatusCode::OK);
    assert_eq!(world.rotations().await, 1);
}

#[tokio::test]
async fn an_error_and_a_not_modified_still_carry_the_renewed_cookies() {
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
async fn devices_are_listed_and_ended() {
    let world = World::new();
    let mut phone = world.sign_in("alice", &[]).await;
    let mut laptop = world.sign_in("alice", &[]).await;
    let mut stranger = world.sign_in("mallory", &[]).await;
    let devices = world.get("/sessions", &mut laptop).await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(2));
    let [theirs] =
        &devices.as_array().expect("a list").iter().filter(|d| d["current"] == false).collect::<Vec<_>>()[..]
    else {
        unreachable!("one of the two is another device");
    };
    let path = format!("/sessions/{}", theirs["sid"].as_str().expect("a sid"));
    let delete = async |jar: &Jar| world.client.send("DELETE", &path, jar, "", &[]).await;
    assert_eq!(delete(&stranger).await.status, StatusCode::NO_CONTENT, "not hers, and she learns nothing");
    assert_eq!(world.get("/me", &mut phone).await.status, StatusCode::OK);
    assert_eq!(delete(&laptop).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/me", &mut phone).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/me", &mut laptop).await.status, StatusCode::OK);

    let mut tablet = world.sign_in("alice", &[]).await;
    assert_eq!(world.client.post("/sessions/end-others", &laptop, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/me", &mut tablet).await.status, StatusCode::UNAUTHORIZED);
    let all = world.client.post("/sessions/end-all", &laptop, "").await;
    assert_eq!(all.status, StatusCode::NO_CONTENT);
    assert!(all.removes_a_cookie());
    assert_eq!(world.get("/me", &mut laptop).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/me", &mut stranger).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_emergency_stop_is_for_admins_and_ends_everything() {
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
async fn what_is_wrong_with_a_request_is_said() {
    let world = World::new();
    let mut nobody = Jar::default();
    for body in ["", "{", "[]", r#"{"user": ""}"#, r#"{"user": 7}"#, r#"{"roles": []}"#] {
        assert_eq!(
            world.client.post("/login", &nobody, body).await.status,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    let anonymous = world.get("/me", &mut nobody).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.header("content-type"), Some("application/problem+json"));
    assert_eq!(world.get("/public", &mut nobody).await.json()["sub"], serde_json::Value::Null);
    assert_eq!(world.get("/nowhere", &mut nobody).await.status, StatusCode::NOT_FOUND);
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
