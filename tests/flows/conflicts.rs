//! Two values under one name: planted by a neighbour host, or left from where the cookies were before.

use tower_sliding_sessions::{EventKind, SessionsBuilder};

use crate::support::{ACCESS, Browser, GRACE, Profile, REFRESH, TTL, World, idle};

/// A request with one more value under a name.
fn with(browser: &Browser, name: &str, value: &str) -> crate::support::Sent {
    browser.get("/me").and("cookie", &format!("{name}={value}"))
}

#[tokio::test]
async fn a_value_that_proves_nothing_is_passed_over() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let cut = browser.value(ACCESS).unwrap().rsplit_once('.').unwrap().0.to_owned();
    for planted in ["x", "", "a.b.c", &format!("{cut}.AAAA"), &"x".repeat(5000)] {
        for name in [ACCESS, REFRESH] {
            let answer = world.one.answer(with(&browser, name, planted)).await;
            assert!(answer.ok() && answer.touches_no_cookie(), "{name}={planted}");
        }
    }
    assert_eq!(world.count(&EventKind::ConflictingCookies), 10);
    world.pass(TTL);
    for name in [ACCESS, REFRESH] {
        let answer = world.one.answer(with(&browser, name, "a.b.c")).await;
        assert!(answer.renewed().is_some() && answer.sets_both(), "{name}");
    }
}

#[tokio::test]
async fn the_same_value_twice_is_no_conflict() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    for name in [ACCESS, REFRESH] {
        assert!(world.one.answer(with(&browser, name, browser.value(name).unwrap())).await.ok());
    }
    assert_eq!(world.count(&EventKind::ConflictingCookies), 0);
}

#[tokio::test]
async fn valid_values_of_two_sessions_are_refused() {
    let world = World::new();
    let (ann, mallory) = (world.signed_in("ann").await, world.signed_in("mallory").await);
    for name in [ACCESS, REFRESH] {
        for passed in [0, TTL] {
            world.pass(passed);
            let answer = world.one.answer(with(&ann, name, mallory.value(name).unwrap())).await;
            assert_eq!(answer.status(), 401, "{name}");
            assert!(answer.touches_no_cookie());
        }
    }
    // Under two names as well, once there is a conflict.
    let mut mixed = ann.clone();
    mixed.plant(REFRESH, mallory.value(REFRESH).unwrap());
    assert_eq!(world.one.answer(with(&mixed, ACCESS, "x")).await.status(), 401);
    assert_eq!(world.store.calls("revoke"), 0);
}

#[tokio::test]
async fn a_value_of_a_session_that_was_revoked_here_is_passed_over() {
    let world = World::new();
    let (ann, old) = (world.signed_in("ann").await, world.signed_in("ann").await);
    assert!(world.one.answer(old.post("/leave")).await.ok());
    for name in [ACCESS, REFRESH] {
        assert!(world.one.answer(with(&ann, name, old.value(name).unwrap())).await.ok(), "{name}");
    }
}

#[tokio::test]
async fn of_two_generations_of_one_session_the_newer_counts_and_reuse_is_not_reported() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(browser.clone());
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        world.pass(GRACE + 1);
    }
    for passed in [0, TTL] {
        world.pass(passed);
        for old in &old {
            for first in [true, false] {
                let (a, b) = if first { (old, &browser) } else { (&browser, old) };
                let cookies = |of: &Browser| {
                    let (access, refresh) = (of.value(ACCESS).unwrap(), of.value(REFRESH).unwrap());
                    format!("{ACCESS}={access}; {REFRESH}={refresh}")
                };
                let sent = a.get("/me").with("cookie", Some(&cookies(a))).and("cookie", &cookies(b));
                assert!(world.one.answer(sent).await.ok());
            }
        }
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn more_values_than_are_looked_at_are_refused() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let many = |count: usize| (0..count).map(|nth| format!("{ACCESS}=x.y.{nth}; ")).collect::<String>();
    assert!(world.one.answer(browser.get("/me").and("cookie", &many(7))).await.ok());
    assert_eq!(world.one.answer(browser.get("/me").and("cookie", &many(8))).await.status(), 401);
    assert!(
        world.one.answer(browser.get("/me").and("cookie", &format!("{ACCESS}=x; ").repeat(2000))).await.ok()
    );
}

fn plain_names(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    builder.cookies(|cookies| cookies.names("a", "r"))
}

/// The cookies were sent to a domain, and now go to the host only.
fn moved(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    builder.cookies(|cookies| cookies.former("a", "/", Some("example")).former("r", "/", Some("example")))
}

/// Before and after the deploy that moves the cookies.
fn deploy() -> (World, crate::support::Instance) {
    let mut world = World::tuned(plain_names);
    let before = world.other(|builder| builder.cookies(|cookies| cookies.domain("example")));
    world.one = world.other(moved);
    (world, before)
}

#[tokio::test]
async fn cookies_that_moved_to_the_host_leave_nothing_behind_at_renewal() {
    let (world, before) = deploy();
    let mut browser = Browser::new();
    assert!(browser.submit(&before, "/login?name=ann").await.ok());
    assert!(browser.visit(&world.one, "/me").await.touches_no_cookie());
    world.pass(TTL);
    let answer = browser.visit(&world.one, "/me").await;
    assert!(answer.renewed().is_some() && answer.removes_cookies());
    assert_eq!(browser.count(), 2);
    assert!(browser.visit(&world.one, "/me").await.touches_no_cookie());
    assert_eq!(world.count(&EventKind::ConflictingCookies), 0);
}

#[tokio::test]
async fn cookies_that_moved_to_the_host_leave_nothing_behind_at_sign_in() {
    let (world, before) = deploy();
    let mut browser = Browser::new();
    assert!(browser.submit(&before, "/login?name=ann").await.ok());
    assert!(browser.submit(&world.one, "/login?name=bob").await.removes_cookies());
    assert_eq!(browser.count(), 2);
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "bob");
}

#[tokio::test]
async fn former_cookies_are_removed_by_every_answer_to_a_conflict() {
    let (world, before) = deploy();
    // Signed in before the deploy and after it, by a version that did not remove what was there.
    let careless = world.other(plain_names);
    let mut browser = Browser::new();
    assert!(browser.submit(&before, "/login?name=ann").await.ok());
    let old = browser.clone();
    browser = Browser::new();
    assert!(browser.submit(&careless, "/login?name=ann").await.ok());
    browser.keep_all_of(&old);
    assert_eq!(browser.count(), 4);
    for path in ["/me", "/anybody", "/status/404"] {
        let mut browser = browser.clone();
        let answer = browser.visit(&world.one, path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(browser.count(), 2, "{path}");
        assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
    }
    // Where one value counts, the request is served too.
    assert!(world.one.answer(old.post("/leave")).await.ok());
    let answer = browser.visit(&world.one, "/me").await;
    assert!(answer.ok() && answer.removes_cookies());
    assert_eq!(browser.count(), 2);
}

#[tokio::test]
async fn a_user_with_two_values_under_one_name_can_sign_in_again() {
    let (world, before) = deploy();
    for name in ["ann", "bob"] {
        let mut browser = Browser::new();
        assert!(browser.submit(&before, "/login?name=ann").await.ok());
        browser.keep_all_of(&world.signed_in_to(&world.other(plain_names), name).await);
        assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
        assert_eq!(browser.count(), 2);
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
    assert_eq!(world.one.sessions.list("ann").await.unwrap().len(), 2, "what was replaced is revoked");
    assert_eq!(world.one.sessions.list("bob").await.unwrap().len(), 0);
}
