//! Two values under one cookie name: planted by a sibling host, or left from earlier cookie settings.

use tower_sliding_sessions::{EventKind, SessionsBuilder};

use crate::support::{ACCESS, Browser, GRACE, Profile, REFRESH, TTL, Trouble, World, idle};

/// A request with one more value under a cookie name.
fn with(browser: &Browser, name: &str, value: &str) -> crate::support::Sent {
    browser.get("/me").and("cookie", &format!("{name}={value}"))
}

#[tokio::test]
async fn unverifiable_value_is_ignored() {
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
async fn same_value_twice_is_no_conflict() {
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
    // The same under two names, after a conflict.
    let mut mixed = ann.clone();
    mixed.plant(REFRESH, mallory.value(REFRESH).unwrap());
    assert_eq!(world.one.answer(with(&mixed, ACCESS, "x")).await.status(), 401);
    assert_eq!(world.store.calls("revoke"), 0);
}

#[tokio::test]
async fn value_of_a_session_revoked_on_this_instance_is_ignored() {
    let world = World::new();
    let (ann, old) = (world.signed_in("ann").await, world.signed_in("ann").await);
    assert!(world.one.answer(old.post("/leave")).await.ok());
    for name in [ACCESS, REFRESH] {
        assert!(world.one.answer(with(&ann, name, old.value(name).unwrap())).await.ok(), "{name}");
    }
}

#[tokio::test]
async fn values_of_sessions_that_a_sign_in_replaced_are_ignored_for_good() {
    // Where no former cookie is configured, the browser keeps the old ones, of another domain or path.
    let world = World::new();
    let (old, older) = (world.signed_in("ann").await, world.signed_in("bob").await);
    let beside = |sent: crate::support::Sent| {
        [&old, &older].into_iter().fold(sent, |sent, old| {
            let (access, refresh) = (old.value(ACCESS).unwrap(), old.value(REFRESH).unwrap());
            sent.and("cookie", &format!("{ACCESS}={access}; {REFRESH}={refresh}"))
        })
    };
    assert_eq!(world.one.answer(beside(Browser::new().get("/me"))).await.status(), 401, "two are live");
    let mut browser = Browser::new();
    let answer = world.one.answer(beside(browser.post("/login?name=ann"))).await;
    assert!(answer.ok());
    browser.receive(&answer);
    for round in 0..10 {
        let answer = world.one.answer(beside(browser.get("/me"))).await;
        assert!(answer.ok(), "{} in round {round}", answer.status());
        browser.receive(&answer);
        idle().await;
        world.pass(2 * TTL);
        // Enough to have the denylist swept.
        for n in 0..300 {
            let mut other = world.signed_in(&format!("user{n}")).await;
            assert!(other.submit(&world.one, "/leave").await.ok());
        }
    }
    world.store.trouble("get", Trouble::Fail);
    assert_eq!(world.one.answer(beside(browser.get("/me"))).await.status(), 503);
    world.store.recover();
    assert!(world.one.answer(beside(browser.get("/me"))).await.ok());
    assert!(world.one.answer(browser.post("/leave")).await.ok());
    assert_eq!(world.one.answer(beside(browser.get("/me"))).await.status(), 401, "none is live");
}

#[tokio::test]
async fn newer_of_two_generations_of_one_session_is_used_and_no_reuse_is_reported() {
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
async fn more_values_than_the_limit_are_refused() {
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

/// The cookies had a `Domain`, and are host-only now.
fn moved(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    builder.cookies(|cookies| cookies.former("a", "/", Some("example")).former("r", "/", Some("example")))
}

/// Before and after the deployment that changes the cookies.
fn deploy() -> (World, crate::support::Instance) {
    let mut world = World::tuned(plain_names);
    let before = world.other(|builder| builder.cookies(|cookies| cookies.domain("example")));
    world.one = world.other(moved);
    (world, before)
}

#[tokio::test]
async fn cookies_made_host_only_leave_no_former_cookie_after_a_renewal() {
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
async fn cookies_made_host_only_leave_no_former_cookie_after_a_sign_in() {
    let (world, before) = deploy();
    let mut browser = Browser::new();
    assert!(browser.submit(&before, "/login?name=ann").await.ok());
    assert!(browser.submit(&world.one, "/login?name=bob").await.removes_cookies());
    assert_eq!(browser.count(), 2);
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "bob");
}

#[tokio::test]
async fn every_response_to_a_conflict_removes_former_cookies() {
    let (world, before) = deploy();
    // Signed in before the deployment and after it, by a version that did not remove former cookies.
    let careless = world.other(plain_names);
    let mut browser = Browser::new();
    assert!(browser.submit(&before, "/login?name=ann").await.ok());
    let old = browser.clone();
    browser = Browser::new();
    assert!(browser.submit(&careless, "/login?name=ann").await.ok());
    browser.keep_all_of(&old);
    assert_eq!(browser.count(), 4);
    for path in ["/me", "/optional", "/status/404"] {
        let mut browser = browser.clone();
        let answer = browser.visit(&world.one, path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(browser.count(), 2, "{path}");
        assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
    }
    // Where only one value is valid, the request is served too.
    assert!(world.one.answer(old.post("/leave")).await.ok());
    let answer = browser.visit(&world.one, "/me").await;
    assert!(answer.ok() && answer.removes_cookies());
    assert_eq!(browser.count(), 2);
}

#[tokio::test]
async fn user_with_two_values_under_one_name_can_sign_in_again() {
    let (world, before) = deploy();
    for name in ["ann", "bob"] {
        let mut browser = Browser::new();
        assert!(browser.submit(&before, "/login?name=ann").await.ok());
        browser.keep_all_of(&world.signed_in_to(&world.other(plain_names), name).await);
        assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
        assert_eq!(browser.count(), 2);
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
    assert_eq!(world.one.sessions.list("ann").await.unwrap().len(), 2, "the replaced session is revoked");
    assert_eq!(world.one.sessions.list("bob").await.unwrap().len(), 0);
}
