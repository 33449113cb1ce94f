//! The token endpoint: renewal (RFC 6749, section 6).

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::Frame;
use tower_sliding_sessions::{EventKind, ManualClock, Reload};

use crate::support::{Client, GRACE, Gate, Profile, ROTATION, TTL, Trouble, WINDOW, World, form, idle};

#[tokio::test]
async fn session_lives_as_long_as_it_is_renewed() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    for round in 1..=5 {
        world.pass(TTL);
        assert_eq!(client.get(&world, "/me").await.status, 401);
        let before = client.refresh.clone();
        let answer = client.renew(&world).await;
        assert!(answer.status == 200 && answer.is_not_stored());
        assert_ne!(client.refresh, before, "it was rotated");
        let me = client.get(&world, "/me").await;
        assert_eq!((me.status, me.json["generation"].as_u64()), (200, Some(round)));
        idle().await;
    }
    assert_eq!(world.count(&EventKind::SignedIn), 1);
}

#[tokio::test]
async fn lost_response_can_be_requested_again() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    for round in 1..=3 {
        world.pass(TTL);
        let lost = client.exchange(&world).await;
        world.pass(TTL);
        let again = client.renew(&world).await;
        assert_eq!(
            again.text("refresh_token"),
            lost.text("refresh_token"),
            "the successor of the lost response"
        );
        assert_eq!(client.get(&world, "/me").await.status, 200);
        idle().await;
        assert_eq!(world.store.rotations(), round);
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn hundred_concurrent_exchanges_are_one_rotation_and_all_get_its_tokens() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(TTL);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (world, client) = (world.clone(), client.clone());
            tokio::spawn(async move { client.exchange(&world).await })
        })
        .collect();
    let mut successors = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(Client::of(&answer).get(&world, "/me").await.status, 200);
        successors.push(answer.text("refresh_token"));
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_ne!(successors[0], client.refresh);
    assert_eq!(world.store.rotations(), 1);
}

#[tokio::test]
async fn superseded_refresh_token_after_its_grace_period_ends_the_session() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    let copied = client.clone();
    world.pass(TTL);
    client.renew(&world).await;
    assert_eq!(client.get(&world, "/me").await.status, 200);
    idle().await;
    world.pass(GRACE);
    assert_eq!(copied.exchange(&world).await.status, 200, "within the grace period it may be a retry");
    world.pass(1);
    assert!(copied.exchange(&world).await.is_error(400, "invalid_grant"));
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
    assert!(client.exchange(&world).await.is_error(400, "invalid_grant"));
    assert_eq!(client.get(&world, "/me").await.status, 401);
}

#[tokio::test]
async fn refresh_token_that_could_displace_its_successor_is_omitted() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(ROTATION - GRACE - 1);
    assert_eq!(client.exchange(&world).await.text("refresh_token"), client.refresh);
    world.pass(1);
    let answer = client.exchange(&world).await;
    assert_eq!((answer.status, answer.json.get("refresh_token")), (200, None), "RFC 6749, section 6");
    world.pass(GRACE);
    assert_ne!(client.exchange(&world).await.text("refresh_token"), client.refresh);
}

#[tokio::test]
async fn every_invalid_refresh_token_gets_the_same_response() {
    let world = World::new();
    let good = world.signed_in("ann").await;
    let revoked = world.signed_in("bob").await;
    world.sessions.revoke_all("bob").await.unwrap();
    let mut answers = Vec::new();
    let forged = format!("{}A", good.refresh);
    for token in [&good.access, &revoked.refresh, &forged, &"a.b.c".to_owned()] {
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", token)];
        answers.push(world.token(&parameters).await);
    }
    let elsewhere = World::new().signed_in("ann").await;
    answers.push(elsewhere.exchange(&world).await);
    world.pass(2 * 3600);
    answers.push(good.exchange(&world).await);
    world.pass(24 * 3600);
    answers.push(good.exchange(&world).await);
    for answer in &answers {
        assert!(answer.is_error(400, "invalid_grant"));
        assert_eq!(answer.json, answers[0].json);
    }
}

#[tokio::test]
async fn session_begun_with_cookies_can_be_renewed_with_tokens() {
    let world = World::new();
    let cookies = world.cookies_of("ann").await;
    let refresh = cookies.split("__Host-refresh=").nth(1).unwrap().to_owned();
    let mut client = Client { access: String::new(), refresh };
    assert_eq!(client.renew(&world).await.status, 200);
    assert_eq!(client.get(&world, "/me").await.text("subject"), "ann");
    let by_cookie = format!("__Host-access={}", client.access);
    assert_eq!(world.get("/browsers", &[("cookie", &by_cookie)]).await.text("subject"), "ann");
}

#[tokio::test]
async fn response_after_the_write_window_has_no_tokens_and_costs_no_session() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::After(gate.clone()));
    let late = {
        let (world, client) = (world.clone(), client.clone());
        tokio::spawn(async move { client.exchange(&world).await })
    };
    gate.reached().await;
    world.pass(WINDOW + 1);
    gate.open();
    let late = late.await.unwrap();
    assert!(late.is_error(503, "temporarily_unavailable"));
    assert_eq!(late.header("retry-after"), Some("1"));
    world.store.recover();
    assert_eq!(client.renew(&world).await.status, 200);
    assert_eq!(client.get(&world, "/me").await.json["generation"], 1);
    assert_eq!(world.store.rotations(), 1);
}

#[tokio::test]
async fn session_revoked_during_an_exchange_gets_no_tokens() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::After(gate.clone()));
    let late = {
        let (world, client) = (world.clone(), client.clone());
        tokio::spawn(async move { client.exchange(&world).await })
    };
    gate.reached().await;
    world.sessions.revoke_all("ann").await.unwrap();
    gate.open();
    assert!(late.await.unwrap().is_error(400, "invalid_grant"));
}

/// A body whose second half arrives late.
struct Slow {
    clock: Arc<ManualClock>,
    takes: Duration,
    parts: Vec<Bytes>,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.parts.len() == 1 {
            self.clock.advance(self.takes);
        }
        Poll::Ready(self.parts.pop().map(|part| Ok(Frame::data(part))))
    }
}

/// A renewal whose body takes `seconds` to arrive. Returns the status.
async fn renew_slowly(world: &World, client: &Client, seconds: u64) -> u16 {
    let body = Slow {
        clock: world.clock.clone(),
        takes: Duration::from_secs(seconds),
        parts: vec![client.refresh.clone().into(), "grant_type=refresh_token&refresh_token=".into()],
    };
    world.send(form("/oauth/token").body(Body::new(body)).unwrap()).await.status
}

#[tokio::test]
async fn refresh_token_that_arrives_after_the_grace_period_is_not_used() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(TTL);
    for (takes, expected) in [(GRACE + 1, 503), (GRACE, 200)] {
        assert_eq!(renew_slowly(&world, &client, takes).await, expected);
        assert_eq!(world.store.calls("advance"), usize::from(expected == 200));
    }
}

#[tokio::test]
async fn grace_period_of_the_session_applies_and_not_that_of_the_instance() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let other = World::around(world.store.clone(), |builder| {
        builder.timing(|timing| timing.grace(Duration::from_secs(GRACE + 10)))
    });
    other.pass(TTL);
    for (takes, expected) in [(GRACE + 1, 503), (GRACE, 200)] {
        assert_eq!(renew_slowly(&other, &client, takes).await, expected);
        assert_eq!(world.store.calls("advance"), usize::from(expected == 200));
    }
}

#[tokio::test]
async fn an_access_token_without_a_cookie_may_be_longer_than_one_with_a_cookie() {
    let role_length = Arc::new(AtomicUsize::new(0));
    let causes = Arc::<Mutex<Vec<String>>>::default();
    let world = World::tuned(|builder| {
        let (role_length, causes) = (role_length.clone(), causes.clone());
        builder
            .reload_claims(move |_, _| {
                let role = "x".repeat(role_length.load(Ordering::Relaxed));
                std::future::ready(Ok::<_, Infallible>(Reload::Replace(Profile { role })))
            })
            .on_event(move |event| {
                if event.kind == EventKind::CookieTooLarge {
                    causes.lock().unwrap().extend(event.cause.iter().map(ToString::to_string));
                }
            })
    });
    let mut client = world.signed_in("ann").await;
    world.pass(TTL);
    role_length.store(2500, Ordering::Relaxed);
    assert_eq!(client.renew(&world).await.status, 200);
    assert!(client.access.len() > 3072);
    world.pass(TTL);
    role_length.store(3500, Ordering::Relaxed);
    assert!(client.renew(&world).await.is_error(500, "server_error"));
    let causes = causes.lock().unwrap();
    assert!(causes.len() == 1 && causes[0].ends_with("but the limit is 4096"), "{causes:?}");
}
