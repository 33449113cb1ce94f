//! Passive requests of a bound session. The browser does not say for which request it refreshes.

use axum::{Router, routing::get};
use http::{Method, StatusCode};
use tower_sliding_sessions::{EventKind, Renewed, Session};

use super::{
    browser::{ACCESS, Browser},
    world::{Instance, World, bound},
};

async fn poll(session: Session<String>) -> String {
    session.generation().to_string()
}

/// An instance with a route whose requests are passive.
fn with_poll(mut instance: Instance) -> Instance {
    let passive = instance.sessions.layer().passive(|_| true);
    let poll = Router::new().route("/poll", get(poll)).route_layer(passive);
    instance.app = instance.app.merge(poll.with_state(instance.sessions.clone()));
    instance
}

fn world() -> World {
    let mut world = World::new();
    world.one = with_poll(world.one);
    world
}

async fn generation(browser: &mut Browser, world: &World) -> u64 {
    browser.get(world, "/poll").await.body.parse().expect("a number")
}

#[tokio::test]
async fn bound_session_with_passive_requests_only_ends_at_its_idle_timeout() {
    for minutes in [1, 4, 10] {
        let world = world();
        let mut browser = Browser::confirmed(&world).await;
        let last_used = world.now();
        while browser.get(&world, "/poll").await.ok() {
            world.pass(60 * minutes);
            assert!(world.now().since(last_used).as_secs() < 3 * 3600, "it does not end");
        }
        let lived = world.now().since(last_used).as_secs();
        // The refresh after the last request counts as use, for one rotation interval at most.
        assert!((7200..7200 + 300 + 300 + 600).contains(&lived), "{lived} s");
        assert!(browser.bound.is_none());
    }
}

#[tokio::test]
async fn active_requests_among_passive_ones_keep_a_bound_session_alive_and_rotate_it() {
    // How many minutes are between two active requests.
    for minutes in [1, 7, 31, 110] {
        let world = world();
        let mut browser = Browser::confirmed(&world).await;
        let before = generation(&mut browser, &world).await;
        for minute in 0..400 {
            world.pass(60);
            assert!(browser.get(&world, "/poll").await.ok(), "every {minutes} minutes: {minute}");
            if minute % minutes == 0 {
                assert!(browser.get(&world, "/me").await.ok(), "every {minutes} minutes: {minute}");
            }
        }
        assert!(generation(&mut browser, &world).await > before, "every {minutes} minutes");
    }
}

#[tokio::test]
async fn active_requests_without_passive_ones_keep_a_bound_session_alive() {
    for seconds in [1, 269, 271, 301, 3600, 7000] {
        let world = world();
        let mut browser = Browser::confirmed(&world).await;
        let until = world.now() + std::time::Duration::from_secs(40_000);
        for _ in 0..500 {
            world.pass(seconds);
            if world.now() > until {
                break;
            }
            assert!(browser.get(&world, "/me").await.ok(), "every {seconds} s");
        }
    }
}

/// This instance knows of no passive requests. Its active requests count where there are some.
#[tokio::test]
async fn active_requests_on_another_instance_keep_a_bound_session_alive() {
    let world = world();
    let other = world.instance(|builder| builder.device_bound(bound()));
    let mut browser = Browser::confirmed(&world).await;
    for minute in 0..300 {
        world.pass(60);
        assert!(browser.get(&world, "/poll").await.ok());
        if minute % 20 == 0 {
            assert!(browser.send(&world, &other, Method::GET, "/me", &[]).await.ok(), "minute {minute}");
        }
    }
}

/// Services that only verify write nothing, so a refresh is the only use that is known.
#[tokio::test]
async fn refresh_counts_as_use_if_there_are_no_passive_requests() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    for _ in 0..200 {
        world.pass(300);
        browser.refresh(&world, &world.one).await;
        assert!(browser.bound.is_some());
    }
}

#[tokio::test]
async fn lost_answer_to_a_refresh_is_made_up_for_by_passive_requests_too() {
    let world = world();
    let mut browser = Browser::confirmed(&world).await;
    for _ in 0..6 {
        world.pass(1);
        assert!(browser.get(&world, "/me").await.ok());
        world.pass(280);
        // Its answer is lost, and with it the newest refresh token.
        browser.clone().refresh(&world, &world.one).await;
        for _ in 0..4 {
            world.pass(280);
            assert!(browser.get(&world, "/poll").await.ok());
        }
    }
    // Such a renewal is written, so that the newest refresh token is not handed out unnoticed.
    assert!(world.count(|kind| *kind == EventKind::Renewed(Renewed::PredecessorServed)) >= 2);
}

#[tokio::test]
async fn access_token_of_a_passive_refresh_has_its_full_lifetime_and_ends_the_session_at_most_one_later() {
    let world = world();
    let mut browser = Browser::confirmed(&world).await;
    let last_used = world.now();
    let mut refreshes = 0;
    while browser.get(&world, "/poll").await.ok() {
        world.pass(10);
        refreshes += u32::from(browser.must_refresh("/poll", world.now()));
    }
    let lived = world.now().since(last_used).as_secs();
    assert!(lived <= 7200 + 300 + 10, "{lived} s");
    // Browsers sign six times in nine minutes.
    assert!(u64::from(refreshes) <= lived / 270 + 1, "{refreshes} in {lived} s");
    assert!(browser.value(ACCESS, world.now()).is_none());
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
}
