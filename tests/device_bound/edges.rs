//! Lost answers, two tabs, sign-out, sign-in, and crashes: the legitimate browser stays signed in.

use std::time::Duration;

use http::{Method, StatusCode};
use tower_sliding_sessions::{
    EventKind,
    store::{SessionKey, SessionStore as _, Subject},
};

use super::{
    browser::{ACCESS, Browser, REFRESH, Refreshed, offer_of},
    world::{World, bound},
};

#[tokio::test]
async fn lost_answer_to_the_registration_leaves_a_session_that_works_and_binds_later() {
    let world = World::new();
    let mut browser = Browser::new();
    browser.has_device = false;
    let (path, challenge) = offer_of(&browser.post(&world, "/login").await).expect("an offer");
    // It arrives, is stored, and its answer is lost.
    let (_, request) = browser.registration(&world, &path, &challenge);
    assert!(world.one.answer(request).await.ok());
    browser.has_device = true;
    for _ in 0..6 {
        world.pass(271);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
}

#[tokio::test]
async fn cookies_of_an_answer_whose_body_was_lost_confirm_nothing() {
    let world = World::new();
    let mut browser = Browser::new();
    browser.has_device = false;
    let (path, challenge) = offer_of(&browser.post(&world, "/login").await).expect("an offer");
    let (_, request) = browser.registration(&world, &path, &challenge);
    let answer = world.one.answer(request).await;
    browser.keep(&answer, world.now());
    for _ in 0..40 {
        world.pass(60);
        let answer = browser.get(&world, "/me").await;
        assert_eq!((answer.status, answer.header("x-bound")), (StatusCode::OK, Some("false")));
    }
}

#[tokio::test]
async fn two_tabs_that_register_at_once_end_with_one_key_and_are_never_refused() {
    // In each order of the requests, and of the answers.
    for order in 0..4 {
        let world = World::new();
        let mut browser = Browser::new();
        browser.has_device = false;
        let offer = offer_of(&browser.post(&world, "/login").await).expect("an offer");
        world.pass(301);
        let (one, two) = (offer_of(&browser.get(&world, "/me").await), offer);
        let (path, challenge) = one.expect("an offer");
        let (_, stale) = two;
        let first = browser.registration(&world, &path, &challenge);
        let second = browser.registration(&world, &path, &challenge);
        let old = browser.registration(&world, &path, &stale);
        assert_eq!(world.one.answer(old.1).await.status, StatusCode::BAD_REQUEST);
        let mut arriving = [first, second];
        if order & 1 == 1 {
            arriving.reverse();
        }
        let mut answers = Vec::new();
        for (key, request) in arriving {
            answers.push((key, world.one.answer(request).await));
        }
        if order & 2 == 2 {
            answers.reverse();
        }
        browser.has_device = true;
        for (key, answer) in answers {
            browser.accept(&world, key, &answer);
        }
        for _ in 0..40 {
            world.pass(60);
            assert!(browser.get(&world, "/me").await.ok(), "order {order}");
        }
        assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"), "order {order}");
    }
}

#[tokio::test]
async fn unbound_cookie_that_overwrites_the_bound_one_is_removed_after_the_confirmation() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    // A cookie that never ends keeps the browser from a refresh.
    let value = browser.value(ACCESS, world.now()).expect("a cookie").to_owned();
    browser.plant(ACCESS, &value);
    world.pass(301);
    let answer = browser.visit(&world, "/me").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("refresh"), Some("1"));
    let cookies = answer.set_cookies();
    assert!(
        matches!(&*cookies, [line] if line.starts_with(ACCESS) && line.contains("Max-Age=0")),
        "{cookies:?}"
    );
    assert!(browser.visit(&world, "/me").await.ok());
}

#[tokio::test]
async fn sign_out_ends_the_session_of_the_browser() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    assert!(browser.post(&world, "/logout").await.ok());
    assert!(browser.value(REFRESH, world.now()).is_none());
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
    assert!(browser.bound.is_none(), "it has forgotten the session");
}

#[tokio::test]
async fn refresh_that_a_sign_out_overtakes_is_over_and_sets_no_cookie() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    let mut other_tab = browser.clone();
    assert!(browser.post(&world, "/logout").await.ok());
    world.pass(301);
    assert_eq!(other_tab.refresh(&world, &world.one).await, Refreshed::Forgotten);
    let before = other_tab.value(ACCESS, world.now()).map(str::to_owned);
    assert_eq!((before, other_tab.get(&world, "/me").await.status), (None, StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn sign_in_as_another_user_leaves_the_new_session_alone_when_the_old_one_is_refreshed() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    let old = browser.bound.clone();
    assert!(browser.post(&world, "/login").await.ok());
    let new = browser.bound.clone().expect("bound again");
    assert_ne!(old.as_ref().map(|old| &old.id), Some(&new.id));
    // A browser refreshes both, with the cookies of the new one.
    browser.bound = old;
    assert_eq!(browser.refresh(&world, &world.one).await, Refreshed::Forgotten);
    browser.bound = Some(new);
    for _ in 0..3 {
        world.pass(280);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
}

#[tokio::test]
async fn browser_that_crashes_at_any_time_and_comes_back_with_older_state_stays_signed_in() {
    for crash_at in 0..30 {
        let world = World::new();
        let mut browser = Browser::signed_in(&world).await;
        let mut saved = browser.clone();
        for step in 0..40 {
            if step == crash_at {
                // What was on the disk is 30 s old.
                let keys = browser.signatures;
                browser = saved.clone();
                browser.signatures = keys;
            }
            saved = browser.clone();
            world.pass(30);
            let answer = browser.get(&world, "/me").await;
            assert!(answer.ok(), "crash at {crash_at}, step {step}: {answer:?}");
        }
        assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
    }
}

#[tokio::test]
async fn browser_that_crashes_before_it_has_its_key_on_disk_registers_again() {
    let world = World::new();
    let mut browser = Browser::signed_in(&world).await;
    world.pass(20);
    browser.bound = None;
    for _ in 0..30 {
        world.pass(60);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
}

#[tokio::test]
async fn lost_answer_to_a_refresh_is_made_up_for_by_the_next_one() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    for _ in 0..6 {
        world.pass(280);
        let mut lost = browser.clone();
        assert_eq!(lost.refresh(&world, &world.one).await, Refreshed::Done);
        world.pass(30);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(world.count(|kind| *kind == EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn parallel_refreshes_of_one_session_make_one_rotation_and_are_all_served() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    world.pass(280);
    assert!(browser.get(&world, "/me").await.ok());
    world.pass(280);
    let others: Vec<_> =
        (0..3).map(|_| world.instance(|builder| builder.device_bound(super::world::bound()))).collect();
    let rotated =
        || world.count(|kind| matches!(kind, EventKind::Renewed(how) if format!("{how:?}") == "Rotated"));
    let before = rotated();
    let refreshes = (0..1000).map(|nth| {
        let (mut tab, world, instance) = (browser.clone(), &world, &others[nth % 3]);
        async move { tab.refresh(world, instance).await }
    });
    let done = futures_util::future::join_all(refreshes).await;
    assert!(done.iter().all(|refreshed| *refreshed == Refreshed::Done));
    assert_eq!(rotated() - before, 1);
    assert!(browser.send(&world, &world.one, Method::GET, "/me", &[]).await.ok());
}

/// Without the key in the record, no proof can be verified. The user can sign in again.
#[tokio::test]
async fn bound_session_is_over_if_a_restored_store_has_lost_the_key() {
    for provisional in [false, true] {
        let world = World::new();
        let mut browser = Browser::new();
        browser.has_device = false;
        let offer = offer_of(&browser.post(&world, "/login").await).expect("an offer");
        let id = world.one.sessions.list("ann").await.expect("a list")[0].id;
        let key = SessionKey { subject: Subject { realm: "sessions".into(), name: "ann".into() }, id };
        let mut backup = world.store.get(&key).await.expect("an answer").record.expect("a record");
        let (device, request) = browser.registration(&world, &offer.0, &offer.1);
        let answer = world.one.answer(request).await;
        browser.accept(&world, device, &answer);
        if provisional {
            backup = world.store.get(&key).await.expect("an answer").record.expect("a record");
        }
        world.pass(300);
        assert!(browser.get(&world, "/me").await.ok());
        assert_eq!(world.count(|kind| *kind == EventKind::DeviceConfirmed), 1);
        let version = world.store.get(&key).await.expect("an answer").version;
        assert!(world.store.replace(&key, version, &backup, None).await.expect("an answer").applied);
        world.pass(280);
        // A key that is still known is confirmed again.
        let (refreshed, status) = match provisional {
            true => (Refreshed::Done, StatusCode::OK),
            false => (Refreshed::Forgotten, StatusCode::UNAUTHORIZED),
        };
        assert_eq!(browser.refresh(&world, &world.one).await, refreshed);
        assert_eq!(browser.visit(&world, "/me").await.status, status);
    }
}

/// So it can be turned on, and off, while instances of both settings run.
#[tokio::test]
async fn without_a_window_no_session_is_bound_and_bound_ones_stay() {
    let world = World::new();
    let mut bound_before = Browser::confirmed(&world).await;
    let closed = |builder: tower_sliding_sessions::SessionsBuilder<_>| {
        builder.device_bound(bound().binding_window(Duration::ZERO))
    };
    let instance = world.instance(closed);
    let mut new = Browser::new();
    let signed_in = new.send(&world, &instance, Method::POST, "/login", &[]).await;
    assert!(signed_in.ok() && offer_of(&signed_in).is_none());
    for _ in 0..3 {
        world.pass(280);
        for browser in [&mut bound_before, &mut new] {
            assert!(browser.send(&world, &instance, Method::GET, "/me", &[]).await.ok());
        }
    }
    assert!(bound_before.bound.is_some() && new.bound.is_none());
}

#[tokio::test]
async fn access_token_from_before_the_confirmation_does_not_outlive_its_lifetime_in_an_outage() {
    let world = World::tuned(|builder| builder.device_bound(bound()).ride_through(Duration::from_secs(600)));
    let mut browser = Browser::signed_in(&world).await;
    world.pass(200);
    let mut copy = browser.copied_jar();
    assert_eq!(browser.refresh(&world, &world.one).await, Refreshed::Done);
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceConfirmed), 1);
    assert!(copy.get(&world, "/me").await.ok());
    let token = copy.value(ACCESS, world.now()).expect("a cookie").to_owned();
    copy.plant(ACCESS, &token);
    world.store.fail(&["get", "replace"]);
    world.pass(101);
    assert_eq!(copy.get(&world, "/me").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
