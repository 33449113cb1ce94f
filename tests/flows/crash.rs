//! A browser that was killed restarts with cookies up to one crash window old, and stays signed in. So a
//! generation is confirmed only when no browser can restart with an older one. These tests say when that
//! is, and what an attacker gains by it.

use std::time::Duration;

use axum::http::StatusCode;
use tower_sliding_sessions::{
    EventKind, RejectionKind, SessionsBuilder, protocol::Refusal, protocol::Timing,
};

use crate::support::{
    ACCESS, Answer, Browser, GRACE, Instance, Profile, REFRESH, TTL, Trouble, WINDOW, World, claims_of, idle,
};

/// `C`, the default crash window in seconds.
const CRASH: u64 = 35;
/// `W + C + 2·G`, and one second more, since tokens hold whole seconds.
const SETTLED: u64 = WINDOW + CRASH + 2 * GRACE + 1;
const LATE: u64 = 600;

fn with_defaults(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    let Timing { crash_window, late_body, .. } = Timing::default();
    assert_eq!((crash_window.as_secs(), late_body.as_secs()), (CRASH, LATE));
    builder.timing(|timing| timing.crash_window(crash_window))
}

fn world() -> World {
    World::tuned(with_defaults)
}

async fn visit(world: &World, browser: &mut Browser) -> Answer {
    let answer = browser.visit(&world.one, "/me").await;
    idle().await;
    answer
}

/// A browser that holds generation 1, which no request has carried yet, and its jar before the rotation.
async fn rotated(world: &World) -> (Browser, Browser) {
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    world.pass(TTL);
    assert_eq!(visit(world, &mut browser).await.renewed(), Some("Rotated"));
    (browser, before)
}

fn generation(browser: &Browser) -> u64 {
    claims_of(browser.value(REFRESH).unwrap())["gen"].as_u64().unwrap()
}

fn alarms(world: &World) -> usize {
    world.count(&EventKind::ReuseDetected)
}

async fn post(instance: &Instance, browser: &mut Browser) -> Answer {
    let answer = instance.answer(browser.post("/me").body("x")).await;
    browser.receive(&answer);
    idle().await;
    answer
}

#[tokio::test]
async fn browser_killed_after_a_rotation_stays_signed_in_whenever_it_restarts() {
    for (used_for, down) in [(0, 0), (0, 60), (1, 3600), (CRASH - 1, 60), (CRASH - 1, 7000)] {
        let world = world();
        let (mut browser, before) = rotated(&world).await;
        for _ in 0..2 {
            assert!(visit(&world, &mut browser).await.ok());
            world.pass(used_for / 2);
        }
        // The browser is killed. Its disk holds the jar from before the rotation.
        world.pass(down);
        let mut browser = before;
        for _ in 0..20 {
            assert!(visit(&world, &mut browser).await.ok(), "killed after {used_for} s, down for {down} s");
            world.pass(100);
        }
        assert!(generation(&browser) > 1, "it rotates again");
        assert_eq!(alarms(&world), 0);
    }
}

#[tokio::test]
async fn browser_killed_at_each_rotation_stays_signed_in_and_rotates() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    let (mut seen, mut rotations) = (generation(&browser), 0);
    let mut saved = browser.clone();
    for step in 0..500 {
        assert!(visit(&world, &mut browser).await.ok(), "step {step}");
        if generation(&browser) > seen {
            (seen, rotations) = (generation(&browser), rotations + 1);
            // After every second rotation, the browser loses the cookies of the last 30 seconds.
            if rotations % 2 == 0 {
                world.pass(30);
                assert!(visit(&world, &mut browser).await.ok(), "step {step}");
                browser = saved.clone();
            }
        }
        world.pass(40);
        assert!(visit(&world, &mut browser).await.ok(), "step {step}");
        saved = browser.clone();
    }
    assert!(rotations > 10, "{rotations}");
    assert_eq!(alarms(&world), 0);
}

#[tokio::test]
async fn generation_is_confirmed_by_an_access_token_once_it_is_old_enough() {
    let world = world();
    let (mut browser, _) = rotated(&world).await;
    world.pass(SETTLED - 1);
    assert!(visit(&world, &mut browser).await.ok());
    assert_eq!(world.store.calls("confirm"), 0, "one second too early");
    world.pass(1);
    for _ in 0..3 {
        assert!(visit(&world, &mut browser).await.ok());
    }
    assert_eq!(world.store.calls("confirm"), 1);
}

/// The price of the crash window: a copy of the predecessor is accepted for that much longer.
#[tokio::test]
async fn copied_predecessor_is_reuse_one_grace_period_after_the_confirmation() {
    for (waited, served) in [(0, true), (GRACE, true), (GRACE + 1, false)] {
        let world = world();
        let (mut browser, mut copy) = rotated(&world).await;
        world.pass(SETTLED);
        assert!(visit(&world, &mut browser).await.ok());
        world.pass(waited);
        assert_eq!(visit(&world, &mut copy).await.ok(), served, "{waited} s after the confirmation");
        assert_eq!(alarms(&world), usize::from(!served));
        assert_eq!(visit(&world, &mut browser).await.ok(), served);
    }
}

#[tokio::test]
async fn expired_access_token_confirms_its_generation() {
    let world = world();
    let (mut browser, mut copy) = rotated(&world).await;
    world.pass(TTL + 1);
    assert!(visit(&world, &mut browser).await.sets_access_only());
    assert_eq!(world.store.calls("confirm"), 1);
    world.pass(GRACE + 1);
    assert!(!visit(&world, &mut copy).await.ok());
    assert_eq!(alarms(&world), 1);
}

#[tokio::test]
async fn client_that_presents_only_refresh_tokens_confirms_and_rotates() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..40 {
        browser.lose(ACCESS);
        assert!(visit(&world, &mut browser).await.ok());
        world.pass(60);
    }
    // A rotation about every `M + G + W + C + 2·G`.
    assert!((4..=6).contains(&generation(&browser)), "{}", generation(&browser));
    let confirmed = world.events().iter().filter(|event| event.outcome() == Some("confirmed")).count();
    assert!(confirmed >= 4, "{confirmed}");
    assert_eq!(alarms(&world), 0);
}

#[tokio::test]
async fn short_access_tokens_confirm_and_rotate() {
    let world = World::tuned(|builder| builder.timing(|_| Timing::aal3()));
    let mut browser = world.signed_in("ann").await;
    for _ in 0..120 {
        assert!(visit(&world, &mut browser).await.ok());
        world.pass(10);
    }
    assert!(generation(&browser) >= 2, "{}", generation(&browser));
    assert_eq!(alarms(&world), 0);
}

#[tokio::test]
async fn successor_handed_out_again_is_written_once_per_grace_period_before_a_response_leaves() {
    let world = world();
    let (_, before) = rotated(&world).await;
    world.pass(GRACE + 1);
    let tasks: Vec<_> = (0..50).map(|_| world.one.accept(before.get("/me"))).collect();
    for task in tasks {
        assert!(task.await.unwrap().sets_both());
    }
    assert_eq!(world.store.calls("record_handout"), 1);
    // From then on, a refresh token confirms it.
    let mut browser = before.clone();
    assert!(visit(&world, &mut browser).await.sets_both());
    browser.lose(ACCESS);
    world.pass(SETTLED + GRACE - 2);
    assert_eq!(visit(&world, &mut browser).await.renewed(), Some("Reissued"));
    browser.lose(ACCESS);
    world.pass(2);
    assert_eq!(visit(&world, &mut browser).await.renewed(), Some("Confirmed"));
}

#[tokio::test]
async fn successor_is_not_handed_out_again_while_the_store_cannot_record_it() {
    for trouble in [Trouble::Fail, Trouble::FailAfter] {
        let world = world();
        let (_, mut before) = rotated(&world).await;
        world.pass(GRACE + 1);
        world.store.trouble("record_handout", trouble);
        let answer = visit(&world, &mut before).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.touches_no_cookie());
        world.store.recover();
        assert!(visit(&world, &mut before).await.sets_both());
    }
}

#[tokio::test]
async fn successor_handed_out_repeatedly_is_reported() {
    let world = world();
    let (_, before) = rotated(&world).await;
    for _ in 0..3 {
        world.pass(GRACE + 1);
        assert!(visit(&world, &mut before.clone()).await.ok());
    }
    assert_eq!(world.count(&EventKind::SuccessorUnconfirmed), 2, "once is a lost response or a crash");
    let again = EventKind::SuccessorUnconfirmed;
    assert_eq!(again.severity(), tower_sliding_sessions::Severity::Warning);
}

#[tokio::test]
async fn late_body_with_the_predecessor_is_refused_without_an_alarm_and_later_it_is_reuse() {
    for (waited, why) in [
        (GRACE + 1, Refusal::LateBody),
        (GRACE + LATE, Refusal::LateBody),
        (GRACE + LATE + 1, Refusal::Reuse),
    ] {
        let world = world();
        let (mut browser, mut before) = rotated(&world).await;
        world.pass(SETTLED);
        assert!(visit(&world, &mut browser).await.ok());
        world.pass(waited);
        let answer = post(&world.one, &mut before).await;
        assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(why)), "after {waited} s");
        let reuse = why == Refusal::Reuse;
        assert_eq!(alarms(&world), usize::from(reuse));
        let warned = world.count(&EventKind::Refused(Refusal::LateBody));
        assert_eq!(warned, usize::from(!reuse));
        assert_eq!(visit(&world, &mut browser).await.ok(), !reuse);
    }
    let late = EventKind::Refused(Refusal::LateBody);
    assert_eq!(late.severity(), tower_sliding_sessions::Severity::Warning);
}

#[tokio::test]
async fn body_with_a_token_two_generations_behind_is_reuse() {
    let world = world();
    let (mut browser, mut before) = rotated(&world).await;
    while generation(&browser) < 2 {
        world.pass(100);
        assert!(visit(&world, &mut browser).await.ok());
    }
    let answer = post(&world.one, &mut before).await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::Reuse)));
    assert_eq!(alarms(&world), 1);
}

#[tokio::test]
async fn client_that_only_posts_confirms_and_rotates() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..120 {
        assert!(post(&world.one, &mut browser).await.ok());
        world.pass(30);
    }
    assert!(generation(&browser) >= 3, "{}", generation(&browser));
    assert_eq!(alarms(&world), 0);
}

/// The attacker copies the tokens of a client that only posts. The reuse is detected when that client
/// posts.
#[tokio::test]
async fn reuse_is_detected_when_the_attacked_client_only_posts() {
    let world = world();
    let mut victim = world.signed_in("ann").await;
    let mut attacker = victim.clone();
    attacker.lose(ACCESS);
    world.pass(TTL);
    for _ in 0..40 {
        assert!(visit(&world, &mut attacker).await.ok());
        world.pass(30);
    }
    assert!(!post(&world.one, &mut victim).await.ok());
    assert_eq!(alarms(&world), 1);
    assert!(!visit(&world, &mut attacker).await.ok());
}

/// A one-byte body no longer avoids the alarm.
#[tokio::test]
async fn attacker_who_polls_with_a_body_is_detected() {
    let world = World::tuned(|builder| {
        with_defaults(builder).timing(|timing| timing.renew_before(Duration::from_secs(60)))
    });
    let mut victim = world.signed_in("ann").await;
    let mut attacker = victim.clone();
    attacker.lose(ACCESS);
    let mut out_at = None;
    for tick in 0..(20 * 360_u32) {
        // The legitimate client works for three hours, and pauses for one.
        let works = (tick / 360) % 4 != 3;
        if works && tick % 2 == 0 && !visit(&world, &mut victim).await.ok() {
            out_at = Some(tick * 10);
            break;
        }
        // The attacker keeps what it gets until the old token has become stale.
        if tick % 4 == 1 {
            let mut probe = attacker.clone();
            if !post(&world.one, &mut probe).await.ok() {
                out_at = Some(tick * 10);
                break;
            }
        }
        world.pass(10);
    }
    println!("detected after {out_at:?} s");
    assert!(out_at.is_some());
}

/// Each instance judges a session by the settings in its record.
#[tokio::test]
async fn instances_with_other_rotation_settings_decide_alike() {
    let world = world();
    let hasty = world.other(|builder| {
        let secs = Duration::from_secs;
        builder.timing(|timing| {
            timing
                .crash_window(Duration::ZERO)
                .late_body(Duration::ZERO)
                .grace(secs(1))
                .write_window(secs(1))
                .rotation_interval(secs(4))
        })
    });
    let (mut browser, mut before) = rotated(&world).await;
    for _ in 0..10 {
        let answer = browser.visit(&hasty, "/me").await;
        idle().await;
        assert!(answer.ok());
        world.pass(3);
    }
    // By its own settings, the second instance would have confirmed, and detected reuse.
    let answer = before.visit(&hasty, "/me").await;
    assert_eq!(answer.renewed(), Some("PredecessorServed"));
    assert_eq!(alarms(&world), 0);
    // It does not rotate earlier either.
    assert_eq!(world.store.rotations(), 1);
}
