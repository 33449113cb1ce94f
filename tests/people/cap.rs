//! The limit on a user's sessions.

use axum::http::StatusCode;
use tower_sliding_sessions::{EventKind, RejectionKind, store::Cap};

use crate::{
    near::{id, is_in, problem},
    support::{Browser, IDLE, World, idle},
};

fn world(cap: Cap) -> World {
    World::tuned(move |builder| builder.max_sessions(cap))
}

async fn live(world: &World) -> usize {
    world.one.sessions.list("ann").await.unwrap().len()
}

#[tokio::test]
async fn sign_in_above_the_cap_is_refused_and_ends_no_session() {
    let world = world(Cap::Refuse(2));
    let two = world.instance();
    let browsers = [world.signed_in("ann").await, world.signed_in("ann").await];
    let bob = world.signed_in("bob").await;
    let mut third = Browser::new();
    let answer = third.submit(&two, "/login?name=ann").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.rejection(), Some(RejectionKind::TooManySessions));
    assert_eq!(problem(answer).await, "TooManySessions");
    assert!(third.is_empty());
    assert_eq!(world.count(&EventKind::TooManySessions), 1);
    for browser in browsers.iter().chain([&bob]) {
        assert!(is_in(&world.one, browser).await && is_in(&two, browser).await);
    }

    let out = world.one.answer(browsers[0].post("/logout")).await;
    assert!(out.ok());
    assert!(third.submit(&two, "/login?name=ann").await.sets_both(), "below the cap again");
    assert_eq!(live(&world).await, 2);
}

#[tokio::test]
async fn oldest_session_is_revoked_at_once_to_make_room() {
    let world = world(Cap::RevokeOldest(2));
    let two = world.instance();
    let oldest = world.signed_in("ann").await;
    world.pass(1);
    let second = world.signed_in("ann").await;
    world.pass(1);
    assert!(is_in(&two, &oldest).await && is_in(&world.one, &oldest).await);
    let third = world.signed_in("ann").await;
    assert!(!is_in(&world.one, &oldest).await, "on this instance it counts at once");
    idle().await;
    assert!(!is_in(&two, &oldest).await);
    for browser in [&second, &third] {
        assert!(is_in(&world.one, browser).await && is_in(&two, browser).await);
    }
    assert_eq!(world.count(&EventKind::Revoked { sessions: 1 }), 1);
    assert_eq!(world.count(&EventKind::TooManySessions), 0);
}

#[tokio::test]
async fn session_that_a_sign_in_replaces_does_not_count() {
    for cap in [Cap::Refuse(2), Cap::RevokeOldest(2)] {
        let world = world(cap);
        let mut browser = world.signed_in("ann").await;
        let other = world.signed_in("ann").await;
        let before = id(&browser);
        for _ in 0..3 {
            world.pass(1);
            assert!(browser.submit(&world.one, "/login?name=ann").await.sets_both());
        }
        assert_ne!(id(&browser), before);
        assert!(is_in(&world.one, &browser).await && is_in(&world.one, &other).await);
        assert_eq!(live(&world).await, 2);
    }
}

#[tokio::test]
async fn expired_session_does_not_count() {
    let world = world(Cap::Refuse(1));
    world.signed_in("ann").await;
    world.pass(IDLE);
    let browser = world.signed_in("ann").await;
    assert!(is_in(&world.one, &browser).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_sign_ins_never_exceed_the_cap() {
    for cap in [Cap::Refuse(3), Cap::RevokeOldest(3)] {
        let world = world(cap);
        let two = world.instance();
        for _ in 0..10 {
            let instances = [&world.one, &two];
            let tasks: Vec<_> =
                (0..20).map(|i| instances[i % 2].accept(Browser::new().post("/login?name=ann"))).collect();
            let mut browsers = Vec::new();
            for task in tasks {
                let answer = task.await.unwrap();
                assert!(live(&world).await <= 3);
                if answer.ok() {
                    let mut browser = Browser::new();
                    browser.receive(&answer);
                    browsers.push(browser);
                }
            }
            assert_eq!(live(&world).await, 3);
            world.pass(300);
            let mut left = 0;
            for browser in &browsers {
                left += usize::from(is_in(&two, browser).await);
            }
            assert_eq!(left, 3, "sessions that are still valid");
            assert_eq!(browsers.len(), if cap.refuses() { 3 } else { 20 });
            world.one.sessions.revoke_all("ann").await.unwrap();
        }
    }
}
