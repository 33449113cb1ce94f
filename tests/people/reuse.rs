//! What an operator learns about refresh token reuse, and how an application may respond; and changed
//! timeouts for existing sessions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_sliding_sessions::{
    Clock as _, Event, EventKind, OriginVerdict, RejectionKind, Reuse, SessionsBuilder, protocol::Refusal,
};

use crate::{
    near::is_in,
    support::{Answer, Browser, GRACE, Profile, TTL, World, idle},
};

type Log = Arc<Mutex<Vec<Event>>>;

/// Reports go to `log`, and the header `x-place` is the origin.
fn reporting(log: &Log, builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    let log = log.clone();
    builder
        .origin(|head| Some(head.headers.get("x-place")?.to_str().ok()?.to_owned()))
        .compare_origin(|home, here| match here == Some(home) {
            true => OriginVerdict::Ignore,
            false => OriginVerdict::Report,
        })
        .on_event(move |event| log.lock().unwrap().push(event.clone()))
}

async fn visit_from(world: &World, browser: &mut Browser, place: &'static str) -> Answer {
    let answer = world.one.answer(browser.get("/me").and("x-place", place)).await;
    browser.receive(&answer);
    idle().await;
    answer
}

/// A browser at generation 1, confirmed, and its jar before the rotation. Signed in at home.
async fn rotated(world: &World) -> (Browser, Browser) {
    let mut browser = Browser::new();
    let sent = browser.post("/login?name=ann").and("x-place", "home");
    browser.receive(&world.one.answer(sent).await);
    let before = browser.clone();
    world.pass(TTL);
    assert!(visit_from(world, &mut browser, "home").await.sets_both());
    assert!(visit_from(world, &mut browser, "home").await.ok());
    (browser, before)
}

fn reported(log: &Log, kind: &EventKind) -> Vec<Reuse> {
    let log = log.lock().unwrap();
    log.iter().filter(|event| event.kind == *kind).filter_map(|event| event.reuse).collect()
}

#[tokio::test]
async fn reuse_is_reported_with_its_distance_its_age_and_whether_the_origin_matches() {
    for (place, at_home) in [("home", true), ("cafe", false)] {
        let log = Log::default();
        let hook = log.clone();
        let world = World::tuned(move |builder| reporting(&hook, builder));
        let (_, mut before) = rotated(&world).await;
        world.pass(GRACE + 5);
        assert!(!visit_from(&world, &mut before, place).await.ok());
        let [reuse] = reported(&log, &EventKind::ReuseDetected)[..] else { panic!("it is reported once") };
        assert_eq!((reuse.generations, reuse.from_recorded_origin), (1, Some(at_home)));
        assert_eq!(reuse.superseded_for, Duration::from_secs(GRACE + 5));
    }
}

#[tokio::test]
async fn reuse_at_the_recorded_origin_keeps_the_session_if_configured() {
    for (place, kept) in [("home", true), ("cafe", false)] {
        let log = Log::default();
        let hook = log.clone();
        let world =
            World::tuned(move |builder| reporting(&hook, builder).keep_session_on_reuse_at_recorded_origin());
        let (browser, mut before) = rotated(&world).await;
        world.pass(GRACE + 1);
        let answer = visit_from(&world, &mut before, place).await;
        assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::Reuse)));
        assert!(answer.touches_no_cookie());
        assert_eq!(reported(&log, &EventKind::ReuseTolerated).len(), usize::from(kept));
        assert_eq!(reported(&log, &EventKind::ReuseDetected).len(), usize::from(!kept));
        let is_kept = world.one.answer(browser.get("/me").and("x-place", "home")).await.ok();
        assert_eq!(is_kept, kept);
    }
}

#[tokio::test]
async fn reuse_two_generations_behind_never_keeps_the_session() {
    let log = Log::default();
    let hook = log.clone();
    let world =
        World::tuned(move |builder| reporting(&hook, builder).keep_session_on_reuse_at_recorded_origin());
    let (mut browser, mut before) = rotated(&world).await;
    world.pass(TTL);
    assert!(visit_from(&world, &mut browser, "home").await.sets_both());
    assert!(!visit_from(&world, &mut before, "home").await.ok());
    let [reuse] = reported(&log, &EventKind::ReuseDetected)[..] else { panic!("it is reported once") };
    assert_eq!(reuse.generations, 2);
}

#[tokio::test]
async fn shortened_timeouts_apply_to_existing_sessions_and_end_them_on_every_instance() {
    let hour = Duration::from_secs(3600);
    for (idle, absolute, waits) in [(hour, 24 * hour, [3000, 3600]), (2 * hour, 2 * hour, [3700, 3700])] {
        let world = World::new();
        let strict = world.other(move |builder| {
            builder.timing(|timing| timing.idle_timeout(idle).absolute_timeout(absolute))
        });
        let mut browser = world.signed_in("ann").await;
        world.pass(waits[0]);
        assert!(browser.visit(&strict, "/me").await.ok());
        idle_now().await;
        world.pass(waits[1]);
        assert!(is_in(&world.one, &browser).await, "valid by the settings of its sign-in");
        let mut copy = browser.clone();
        let over = copy.visit(&strict, "/me").await;
        assert_eq!(over.rejection(), Some(RejectionKind::Unauthenticated(Refusal::Expired)));
        assert!(!is_in(&world.one, &browser).await, "no instance restores it");
    }
}

async fn idle_now() {
    idle().await;
}

#[tokio::test]
async fn session_from_a_clock_ahead_is_idle_after_the_idle_timeout() {
    let world = World::new();
    let right = world.clock.now();
    world.pass(3600);
    let mut browser = world.signed_in("ann").await;
    world.clock.set(right);
    world.pass(1);
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    world.pass(2 * 3600);
    assert!(!browser.visit(&world.one, "/me").await.ok(), "idle for two hours");
}
