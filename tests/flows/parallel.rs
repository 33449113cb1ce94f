//! Many requests with the same expired token: no legitimate client is signed out.

use std::collections::BTreeSet;

use tower_sliding_sessions::{EventKind, store::MemoryStore};

use crate::support::{Answer, Browser, Instance, Probe, REFRESH, TTL, World, idle};

/// `n` requests leave the browser before any response arrives.
async fn at_once(browser: &Browser, instances: &[&Instance], n: usize) -> Vec<Answer> {
    let tasks: Vec<_> = (0..n).map(|i| instances[i % instances.len()].accept(browser.get("/me"))).collect();
    let mut answers = Vec::with_capacity(n);
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

fn refresh_tokens(answers: &[Answer]) -> BTreeSet<&str> {
    answers.iter().filter_map(|answer| answer.cookie(REFRESH)).collect()
}

#[tokio::test]
async fn two_hundred_parallel_refreshes_are_all_served_by_one_rotation() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let before = browser.value(REFRESH).unwrap().to_owned();
    world.pass(TTL);

    let answers = at_once(&browser, &[&world.one], 200).await;

    assert!(answers.iter().all(Answer::ok));
    assert!(answers.iter().all(Answer::sets_both));
    assert!(!answers.iter().any(Answer::removes_cookies));
    assert_eq!(refresh_tokens(&answers).len(), 1);
    assert!(!refresh_tokens(&answers).contains(before.as_str()));
    assert_eq!(world.store.calls("advance"), 1, "they share one renewal");
    assert_eq!(world.store.rotations(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.renewed() == Some("Rotated")).count(), 1);
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn immediate_store_response_rotates_once_too() {
    let world =
        World::around(Probe::new(MemoryStore::new().unwrap()).that_answers_at_once(), |builder| builder);
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let answers = at_once(&browser, &[&world.one], 200).await;
    assert!(answers.iter().all(|answer| answer.ok() && answer.sets_both()));
    assert_eq!((refresh_tokens(&answers).len(), world.store.rotations()), (1, 1));
    assert_eq!(answers.iter().filter(|answer| answer.renewed() == Some("Rotated")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_renewals_on_several_threads_and_instances_rotate_once() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..5 {
        world.pass(TTL);
        let rotations = world.store.rotations();
        let answers = at_once(&browser, &[&world.one, &two], 200).await;
        assert!(answers.iter().all(Answer::ok));
        assert_eq!(refresh_tokens(&answers).len(), 1, "every instance mints the same token");
        assert_eq!(world.store.rotations(), rotations + 1);
        answers.iter().for_each(|answer| browser.receive(answer));
        assert!(browser.visit(&world.one, "/me").await.ok());
        world.one.sessions.shutdown().await; // The confirmation has reached the store.
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn responses_can_arrive_in_any_order() {
    for backwards in [false, true] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        for _ in 0..4 {
            world.pass(TTL);
            let mut answers = at_once(&browser, &[&world.one], 5).await;
            world.pass(20);
            answers.extend(at_once(&browser, &[&world.one], 5).await);
            if backwards {
                answers.reverse();
            }
            answers.iter().for_each(|answer| browser.receive(answer));
            assert!(browser.visit(&world.one, "/me").await.ok());
            idle().await;
        }
        assert_eq!(world.store.rotations(), 4);
    }
}

#[tokio::test]
async fn request_after_the_single_flight_ended_is_served_as_its_generation() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let first = world.one.answer(browser.get("/me")).await;
    let second = world.one.answer(browser.get("/me")).await;
    assert_eq!((first.renewed(), second.renewed()), (Some("Rotated"), Some("PredecessorServed")));
    assert_eq!(first.cookie(REFRESH), second.cookie(REFRESH), "never a second successor");
    assert_eq!(second.header("x-generation"), Some("1"));
}
