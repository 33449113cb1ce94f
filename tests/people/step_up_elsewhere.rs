//! Step-up by origin: a re-authentication counts for its own origin, and a sign-in for the session's
//! origin.

use axum::http::StatusCode;
use tower_sliding_sessions::{EventKind, OriginVerdict, RejectionKind};

use crate::{
    near::role_in_jar,
    origin::{placed, signed_in_at, submit_from, visit_from},
    support::{ACCESS, Browser, Gate, Instance, TTL, Trouble, World, claims_of, idle},
};

async fn danger(browser: &mut Browser, place: &str, instance: &Instance) -> StatusCode {
    let answer = visit_from(browser, place, instance, "/danger").await;
    if answer.status() == StatusCode::FORBIDDEN {
        assert_eq!(answer.rejection(), Some(RejectionKind::ReauthenticationRequired));
    }
    answer.status()
}

#[tokio::test]
async fn reauthentication_at_another_origin_does_not_count_and_one_at_this_origin_does() {
    let world = World::tuned(placed(OriginVerdict::StepUp));
    let two = world.instance();
    let mut browser = signed_in_at(&world, Some("home")).await;
    world.pass(TTL);
    assert!(submit_from(&mut browser, "home", &world.one, "/sudo?by=pwd").await.ok());
    world.pass(1);
    idle().await;
    assert_eq!(danger(&mut browser, "home", &two).await, StatusCode::NO_CONTENT);

    // From a cafe, at the next renewal: it is served, but the re-authentication from home does not count.
    browser.lose(ACCESS);
    let answer = visit_from(&mut browser, "cafe", &two, "/me").await;
    assert!(answer.ok() && !answer.touches_no_cookie());
    assert!(world.count(&EventKind::OriginChanged(OriginVerdict::StepUp)) > 0);
    assert_eq!(danger(&mut browser, "cafe", &two).await, StatusCode::FORBIDDEN);
    assert_eq!(danger(&mut browser, "cafe", &world.one).await, StatusCode::FORBIDDEN);

    assert!(submit_from(&mut browser, "cafe", &two, "/sudo?by=pwd").await.ok());
    idle().await;
    for instance in [&two, &world.one] {
        assert_eq!(danger(&mut browser, "cafe", instance).await, StatusCode::NO_CONTENT);
    }
    world.pass(30);
    browser.lose(ACCESS);
    assert_eq!(danger(&mut browser, "cafe", &world.one).await, StatusCode::NO_CONTENT, "renewed at the cafe");
    browser.lose(ACCESS);
    assert_eq!(
        danger(&mut browser, "home", &world.one).await,
        StatusCode::NO_CONTENT,
        "the session's origin"
    );
    browser.lose(ACCESS);
    assert_eq!(danger(&mut browser, "train", &world.one).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn reauthentication_from_home_invalidates_the_one_from_another_origin() {
    let world = World::tuned(placed(OriginVerdict::StepUp));
    let mut browser = signed_in_at(&world, Some("home")).await;
    assert!(submit_from(&mut browser, "cafe", &world.one, "/sudo?by=pwd").await.ok());
    assert_eq!(danger(&mut browser, "cafe", &world.one).await, StatusCode::NO_CONTENT);
    assert!(submit_from(&mut browser, "home", &world.one, "/sudo?by=pwd").await.ok());
    assert_eq!(danger(&mut browser, "cafe", &world.one).await, StatusCode::FORBIDDEN);
    browser.lose(ACCESS);
    assert_eq!(danger(&mut browser, "home", &world.one).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn required_step_up_stays_required_after_a_change_of_claims() {
    let world = World::tuned(placed(OriginVerdict::StepUp));
    let two = world.instance();
    for renewed in [false, true] {
        let mut browser = signed_in_at(&world, Some("home")).await;
        browser.lose(ACCESS);
        if !renewed {
            assert!(visit_from(&mut browser, "cafe", &world.one, "/me").await.ok());
        }
        assert!(submit_from(&mut browser, "cafe", &world.one, "/profile?role=boss").await.ok());
        assert_eq!(role_in_jar(&browser), "boss");
        let token = claims_of(browser.value(ACCESS).unwrap());
        assert_eq!(token["step_up"], "required", "{token}");
        idle().await;
        for instance in [&world.one, &two] {
            assert_eq!(danger(&mut browser, "cafe", instance).await, StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test]
async fn parallel_requests_that_share_a_renewal_are_each_judged_by_their_own_origin() {
    for verdict in [OriginVerdict::StepUp, OriginVerdict::Refuse] {
        for (first, second) in [("home", "cafe"), ("cafe", "home")] {
            let world = World::tuned(placed(verdict));
            let mut browser = signed_in_at(&world, Some("home")).await;
            browser.lose(ACCESS);
            let gate = Gate::closed();
            world.store.trouble("advance", Trouble::After(gate.clone()));
            let request = |place| browser.get("/danger").and("x-place", place);
            let tasks = [first, second].map(|place| world.one.accept(request(place)));
            gate.reached().await;
            idle().await;
            gate.open();
            for (place, task) in [first, second].into_iter().zip(tasks) {
                let elsewhere = match verdict {
                    OriginVerdict::StepUp => StatusCode::FORBIDDEN,
                    _ => StatusCode::UNAUTHORIZED,
                };
                let answer = task.await.unwrap();
                let expected = if place == "home" { StatusCode::NO_CONTENT } else { elsewhere };
                assert_eq!(answer.status(), expected, "{place} in {verdict:?}");
            }
            assert_eq!(world.store.calls("advance"), 1, "they shared the renewal");
            assert_eq!(world.count(&EventKind::OriginChanged(verdict)), 1);
        }
    }
}

#[tokio::test]
async fn reauthentication_counts_at_every_origin_if_origins_are_not_compared() {
    let world = World::tuned(|builder| {
        builder.origin(|head| Some(head.headers.get("x-place")?.to_str().ok()?.to_owned()))
    });
    let mut browser = signed_in_at(&world, Some("home")).await;
    world.pass(TTL);
    assert!(submit_from(&mut browser, "home", &world.one, "/sudo?by=pwd").await.ok());
    browser.lose(ACCESS);
    assert_eq!(danger(&mut browser, "cafe", &world.one).await, StatusCode::NO_CONTENT);
}
