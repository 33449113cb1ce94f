//! A clock was ahead for some time, and is correct again. What it wrote into records and kept in memory
//! gives no session, refresh token or re-authentication more time than the policy does.

use std::time::Duration;

use tower_sliding_sessions::{
    Clock as _, EventKind, Session, SessionId,
    protocol::Timing,
    store::{SessionKey, Subject},
};

use crate::support::{ABSOLUTE, ACCESS, Answer, Browser, GRACE, Profile, TTL, World, claims_of, idle};

/// How far the clock was ahead: one hour, and one year as after a reset.
const ERRORS: [Duration; 2] = [Duration::from_secs(3600), Duration::from_secs(3600 * 24 * 365)];

fn step_ahead(world: &World, by: Duration) {
    world.clock.set(world.clock.now() + by);
}

fn step_back(world: &World, by: Duration) {
    world.clock.set(world.clock.now() - by);
}

async fn visit(world: &World, browser: &mut Browser) -> Answer {
    let answer = browser.visit(&world.one, "/me").await;
    idle().await;
    answer
}

/// A browser whose generation 1 was confirmed at a time in the future, and its jar before the rotation.
async fn confirmed_ahead(world: &World, by: Duration) -> (Browser, Browser) {
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    world.pass(TTL);
    assert_eq!(visit(world, &mut browser).await.renewed(), Some("Rotated"));
    step_ahead(world, by);
    // The confirmation of an access token that has expired meanwhile.
    let sent = browser.get("/me");
    let _answer = world.one.answer(sent).await;
    idle().await;
    step_back(world, by);
    (browser, before)
}

#[tokio::test]
async fn refresh_token_is_rotated_on_time_after_a_clock_ahead_confirmed_it() {
    let world = World::new();
    let hour = ERRORS[0];
    let (mut browser, _) = confirmed_ahead(&world, hour).await;
    let mut rotations = 0;
    for _ in 0..6 {
        rotations += usize::from(visit(&world, &mut browser).await.renewed() == Some("Rotated"));
        world.pass(TTL);
    }
    assert!(rotations >= 2, "{rotations} rotations in half an hour");
}

#[tokio::test]
async fn predecessor_is_reuse_a_grace_period_after_a_clock_ahead_confirmed_its_successor() {
    let world = World::new();
    let (mut browser, before) = confirmed_ahead(&world, ERRORS[0]).await;
    world.pass(TTL);
    assert!(visit(&world, &mut browser).await.ok());
    world.pass(GRACE + 1);
    let mut copied = before;
    copied.lose(ACCESS);
    assert!(!visit(&world, &mut copied).await.ok());
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}

#[tokio::test]
async fn client_without_access_tokens_confirms_and_rotates_after_a_clock_ahead_handed_its_token_out() {
    for by in ERRORS {
        let world = World::tuned(move |builder| {
            builder.timing(|timing| {
                let crash_window = Timing::default().crash_window;
                let long = by + Duration::from_secs(ABSOLUTE);
                timing.crash_window(crash_window).idle_timeout(long).absolute_timeout(long)
            })
        });
        let mut browser = world.signed_in("ann").await;
        browser.lose(ACCESS);
        step_ahead(&world, by);
        assert_eq!(visit(&world, &mut browser).await.renewed(), Some("Rotated"));
        step_back(&world, by);
        let mut how = Vec::new();
        for _ in 0..5 {
            browser.lose(ACCESS);
            how.extend(visit(&world, &mut browser).await.renewed().map(str::to_owned));
            world.pass(TTL);
        }
        assert!(
            how.iter().any(|how| how == "Confirmed") && how.iter().any(|how| how == "Rotated"),
            "{how:?}"
        );
    }
}

#[tokio::test]
async fn session_that_a_clock_ahead_opened_ends_at_the_absolute_timeout() {
    for by in ERRORS {
        let world = World::new();
        step_ahead(&world, by);
        let mut browser = world.signed_in("ann").await;
        step_back(&world, by);
        let opened = world.clock.now();
        assert!(visit(&world, &mut browser).await.ok());
        while world.clock.now() < opened + Duration::from_secs(ABSOLUTE - TTL) {
            world.pass(TTL);
            let answer = visit(&world, &mut browser).await;
            assert!(answer.ok(), "{} after {:?}", answer.status(), world.clock.now().since(opened));
        }
        world.pass(TTL);
        assert!(!visit(&world, &mut browser).await.ok(), "ahead by {by:?}");
        // Other sessions can be opened and stay valid.
        let mut other = world.signed_in("bob").await;
        assert!(visit(&world, &mut other).await.ok());
    }
}

#[tokio::test]
async fn session_that_a_clock_ahead_opened_goes_on_when_several_clocks_cap_it() {
    for by in ERRORS {
        let world = World::new();
        step_ahead(&world, by);
        let mut browser = world.signed_in("ann").await;
        step_back(&world, by);
        for hours in [0, 1, 2, 1, 0] {
            step_back(&world, Duration::from_secs(3600 * hours));
            // Old and new refresh tokens, of before and after a rotation.
            for _ in 0..3 {
                let before = browser.clone();
                for mut of in [before, browser.clone()] {
                    let answer = visit(&world, &mut of).await;
                    assert!(answer.ok(), "{hours} h back, ahead by {by:?}: {}", answer.status());
                    browser = of;
                }
                world.pass(TTL);
            }
            step_ahead(&world, Duration::from_secs(3600 * hours));
        }
    }
}

#[tokio::test]
async fn shorter_absolute_timeout_of_a_deploy_cuts_no_session_that_began_on_time() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let shorter = world
        .other(|builder| builder.timing(|timing| timing.absolute_timeout(Duration::from_secs(ABSOLUTE / 2))));
    for _ in 0..20 {
        world.pass(TTL);
        let answer = browser.visit(&shorter, "/me").await;
        assert!(answer.ok(), "{answer:?}");
        idle().await;
    }
    assert_eq!(world.store.calls("put_claims"), 0);
}

#[tokio::test(start_paused = true)]
async fn gap_of_the_feed_while_the_clock_was_ahead_renews_each_session_once() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    assert!(visit(&world, &mut browser).await.ok());
    step_ahead(&world, ERRORS[0]);
    world.store.lose_events();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.count(&EventKind::FeedGap), 1);
    step_back(&world, ERRORS[0]);
    world.pass(1);
    assert!(visit(&world, &mut browser).await.ok());
    let calls = world.store.all_calls();
    for _ in 0..5 {
        world.pass(1);
        assert!(visit(&world, &mut browser).await.touches_no_cookie());
    }
    assert!(world.store.all_calls() <= calls + 1, "{} calls", world.store.all_calls() - calls);
}

#[tokio::test]
async fn claims_that_were_looked_up_by_a_clock_ahead_are_looked_up_again_once_they_change() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let sid =
        SessionId::decode(browser.clone().visit(&world.one, "/me").await.header("x-sid").unwrap()).unwrap();
    let key = SessionKey { subject: Subject { realm: "sessions".into(), name: "ann".into() }, id: sid };
    let role = async |session: Session<Profile>| session.claims().role.clone();
    let layer = world.one.sessions.layer().accept_bearer();
    let app = axum::Router::new().route("/role", axum::routing::get(role)).route_layer(layer);
    let served = async || {
        let bearer = format!("Bearer {}", browser.value(ACCESS).unwrap());
        let sent = Browser::new().get("/role").and("authorization", &bearer);
        Answer(tower::ServiceExt::oneshot(app.clone(), sent.0).await.unwrap()).text().await
    };
    let change = async |role: &str| {
        world.pass(5);
        let claims = format!(r#"{{"role":"{role}"}}"#);
        world.store.put_claims(&key, &claims, world.clock.now()).await;
        idle().await;
    };
    let by = Duration::from_secs(100);
    step_ahead(&world, by);
    change("admin").await;
    assert_eq!(served().await, "admin");
    step_back(&world, by);
    change("guest").await;
    assert_eq!(served().await, "guest");
    assert_eq!(served().await, "guest");
}

async fn passes(world: &World, browser: &mut Browser, path: &str) -> bool {
    browser.visit(&world.one, path).await.status() == 204
}

#[tokio::test]
async fn re_authentication_by_a_clock_ahead_never_counts_as_fresh_when_its_time_comes() {
    for sign_in_ahead in [false, true] {
        let world = World::new();
        let hour = ERRORS[0];
        let mut browser = Browser::new();
        if sign_in_ahead {
            step_ahead(&world, hour);
            browser = world.signed_in("ann").await;
        } else {
            assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
            step_ahead(&world, hour);
            assert!(browser.submit(&world.one, "/sudo?by=otp").await.ok());
        }
        step_back(&world, hour);
        for _ in 0..13 {
            assert!(visit(&world, &mut browser).await.ok());
            assert!(!passes(&world, &mut browser, "/danger").await, "sign-in: {sign_in_ahead}");
            world.pass(TTL);
        }
        // Now is the time that the clock showed.
        for _ in 0..2 * TTL / 30 {
            assert!(!passes(&world, &mut browser, "/danger").await, "sign-in: {sign_in_ahead}");
            world.pass(30);
        }
        if !sign_in_ahead {
            assert!(passes(&world, &mut browser, "/otp").await, "the method stays");
        }
        assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
        assert!(passes(&world, &mut browser, "/danger").await, "a new one counts");
        world.pass(TTL);
        assert!(!passes(&world, &mut browser, "/danger").await);
    }
}

#[tokio::test]
async fn claims_that_a_clock_ahead_changed_do_not_renew_every_request_until_its_time_comes() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let hour = ERRORS[0];
    step_ahead(&world, hour);
    assert!(browser.submit(&world.one, "/profile?role=admin").await.ok());
    step_back(&world, hour);
    // The denylist forgets its entry.
    for _ in 0..4 {
        assert!(visit(&world, &mut browser).await.ok());
        world.pass(TTL);
    }
    assert!(visit(&world, &mut browser).await.ok());
    world.pass(2);
    assert!(visit(&world, &mut browser).await.ok());
    let calls = world.store.all_calls();
    for _ in 0..5 {
        let answer = visit(&world, &mut browser).await;
        assert!(answer.ok() && answer.touches_no_cookie());
    }
    assert!(world.store.all_calls() <= calls + 1, "{} calls", world.store.all_calls() - calls);
    assert_eq!(claims_of(browser.value(ACCESS).unwrap())["ext"]["role"], "admin");
}
