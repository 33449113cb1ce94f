//! Sign-ins that race, that fail half way, and that are refused.

use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use tower_sliding_sessions::{
    BuildError, EventKind, RejectionKind, Sessions, SignInError,
    oauth::Grant,
    store::{Cap, MemoryStore},
};

use crate::{
    directory::{Directory, Says},
    near::is_in,
    support::{Answer, Browser, Gate, Probe, Profile, REFRESH, TTL, Trouble, World, idle, keys},
};

fn capped(cap: Cap) -> World {
    World::tuned(move |builder| builder.max_sessions(cap))
}

async fn live(world: &World, subject: &str) -> usize {
    world.one.sessions.list(subject).await.unwrap().len()
}

/// One browser sends two sign-ins at once. The first one's session is opened first, and its response
/// leaves last.
async fn double_click(world: &World, browser: &Browser) -> (Answer, Answer) {
    let gate = Gate::closed();
    world.store.trouble("create", Trouble::After(gate.clone()));
    let first = world.one.accept(browser.post("/login?name=ann"));
    gate.reached().await;
    world.store.recover();
    let second = world.one.answer(browser.post("/login?name=ann")).await;
    gate.open();
    (first.await.unwrap(), second)
}

#[tokio::test]
async fn after_a_double_click_the_browser_is_signed_in_in_either_order_of_responses() {
    for limit in [1, 2] {
        for had_a_session in [false, true] {
            for in_order in [true, false] {
                let world = capped(Cap::RevokeOldest(limit));
                let mut browser = Browser::new();
                if had_a_session {
                    browser = world.signed_in("ann").await;
                }
                world.pass(1);
                let (first, second) = double_click(&world, &browser).await;
                assert!(first.ok() && second.ok());
                // The other sign-in's session is revoked, and its response sets no cookies.
                assert_eq!([&first, &second].iter().filter(|answer| answer.sets_both()).count(), limit);
                let (earlier, later) = if in_order { (first, second) } else { (second, first) };
                browser.receive(&earlier);
                browser.receive(&later);
                assert!(browser.visit(&world.one, "/me").await.ok());
                assert_eq!(live(&world, "ann").await, limit);
            }
        }
    }
}

#[tokio::test]
async fn double_click_on_two_instances_leaves_the_browser_signed_in_before_the_feed_is_read() {
    let world = World::around(Probe::new(MemoryStore::new().unwrap()), |builder| {
        builder.max_sessions(Cap::RevokeOldest(1))
    });
    let two = world.instance();
    world.store.cut_the_feed();
    let gate = Gate::closed();
    world.store.trouble("create", Trouble::After(gate.clone()));
    let first = world.one.accept(Browser::new().post("/login?name=ann"));
    gate.reached().await;
    world.pass(1);
    let passable = Gate::closed();
    passable.open();
    world.store.trouble("create", Trouble::After(passable));
    let second = two.answer(Browser::new().post("/login?name=ann")).await;
    gate.open();
    let first = first.await.unwrap();
    assert!(first.ok() && first.touches_no_cookie() && second.sets_both());
    let mut browser = Browser::new();
    browser.receive(&second);
    browser.receive(&first);
    assert!(browser.visit(&two, "/me").await.ok());
}

#[tokio::test]
async fn cookies_of_a_session_revoked_since_its_sign_in_are_not_set() {
    let world = World::new();
    let visitor = world.one.sessions.visitor(&Request::new(Body::empty())).unwrap();
    for revoked in [false, true] {
        let cookies = visitor.sign_in("ann", Profile::default()).await.unwrap();
        if revoked {
            world.one.sessions.revoke_all("ann").await.unwrap();
        }
        let mut headers = HeaderMap::new();
        cookies.apply(&mut headers);
        assert_eq!(headers.get("set-cookie").is_none(), revoked);
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn concurrent_sign_ins_that_replace_one_session_keep_to_the_cap() {
    for cap in [Cap::RevokeOldest(1), Cap::RevokeOldest(2), Cap::Refuse(1), Cap::Refuse(2)] {
        let world = capped(cap);
        for _ in 1..cap.limit() {
            world.signed_in("ann").await;
        }
        let browser = world.signed_in("ann").await;
        world.pass(1);
        // Both have counted the session that they replace. Neither has revoked it yet.
        let gate = Gate::closed();
        world.store.trouble("create", Trouble::Before(gate.clone()));
        let both = [(), ()].map(|()| world.one.accept(browser.post("/login?name=ann")));
        gate.reached().await;
        gate.reached().await;
        gate.open();
        let mut signed_in = 0;
        for answer in both {
            let answer = answer.await.unwrap();
            assert!(answer.ok() || answer.rejection() == Some(RejectionKind::TooManySessions));
            let mut browser = Browser::new();
            browser.receive(&answer);
            signed_in += usize::from(!browser.is_empty() && is_in(&world.one, &browser).await);
        }
        assert!(signed_in >= 1, "{cap:?}");
        assert_eq!(live(&world, "ann").await, cap.limit(), "{cap:?}");
    }
}

#[tokio::test]
async fn failed_switch_of_accounts_leaves_the_old_session() {
    for operation in ["create", "revoke"] {
        for trouble in [Trouble::Fail, Trouble::FailAfter] {
            let after = matches!(trouble, Trouble::FailAfter);
            let world = World::new();
            let mut browser = world.signed_in("ann").await;
            world.store.trouble(operation, trouble);
            let answer = browser.submit(&world.one, "/login?name=bob").await;
            assert_eq!(answer.status(), 503);
            assert!(answer.touches_no_cookie());
            world.store.recover();
            assert_eq!(world.count(&EventKind::SignedIn), 1, "{operation}");
            if operation == "create" || !after {
                assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
            }
            assert!(browser.submit(&world.one, "/login?name=bob").await.ok());
            assert_eq!(
                (live(&world, "ann").await, browser.visit(&world.one, "/me").await.text().await),
                (0, "bob".into())
            );
        }
    }
}

#[tokio::test]
async fn switch_to_an_account_at_its_cap_leaves_the_old_session() {
    let world = capped(Cap::Refuse(1));
    world.signed_in("bob").await;
    let mut browser = world.signed_in("ann").await;
    let answer = browser.submit(&world.one, "/login?name=bob").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::TooManySessions));
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
    assert_eq!(live(&world, "bob").await, 1);
}

#[tokio::test]
async fn sign_in_that_the_claims_hook_refuses_is_not_reported_and_leaves_the_old_session() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann").await;
    directory.say("bob", Says::End("locked"));
    let answer = browser.submit(&world.one, "/login?name=bob").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Forbidden));
    assert_eq!(world.count(&EventKind::SignedIn), 1, "ann's sign-in");
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
    assert_eq!(live(&world, "bob").await, 0);
}

#[tokio::test]
async fn sign_in_whose_hook_returns_too_large_claims_is_not_reported_and_leaves_the_old_session() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann").await;
    directory.role("bob", &"x".repeat(3000));
    let answer = browser.submit(&world.one, "/login?name=bob").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::ClaimsTooLarge));
    assert_eq!(world.count(&EventKind::SignedIn), 1, "ann's sign-in");
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
    assert_eq!(live(&world, "bob").await, 0);
}

#[tokio::test]
async fn replaced_session_evicts_no_other_device() {
    let world = capped(Cap::RevokeOldest(2));
    let other = world.signed_in("ann").await;
    world.pass(1);
    let mut browser = world.signed_in("ann").await;
    for _ in 0..3 {
        world.pass(1);
        assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
        assert!(is_in(&world.one, &other).await);
    }
    // A revoked session makes no room.
    let dead = browser.clone();
    assert!(browser.submit(&world.one, "/leave").await.ok());
    browser = world.signed_in("ann").await;
    world.pass(1);
    assert!(world.one.answer(dead.post("/login?name=ann")).await.ok());
    assert!(!is_in(&world.one, &other).await && is_in(&world.one, &browser).await);
    assert_eq!(live(&world, "ann").await, 2);
}

#[tokio::test]
async fn empty_subject_is_refused() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let calls = world.store.all_calls();
    let answer = browser.submit(&world.one, "/login?name=").await;
    assert_eq!((answer.status().as_u16(), answer.rejection()), (400, Some(RejectionKind::EmptySubject)));
    let issued = world.one.sessions.issue_tokens(Grant::new("", Profile::default())).await;
    assert!(matches!(issued, Err(SignInError::EmptySubject)));
    assert_eq!(world.store.all_calls(), calls);
    assert!(is_in(&world.one, &browser).await);
}

#[test]
fn cap_of_zero_sessions_is_refused() {
    for cap in [Cap::RevokeOldest(0), Cap::Refuse(0)] {
        let refused = Sessions::<()>::builder(keys(0)).max_sessions(cap).build().unwrap_err();
        assert_eq!(refused, BuildError::MaxSessions);
        assert!(refused.to_string().contains("at least 1"));
    }
}

#[tokio::test]
async fn renewal_response_after_a_sign_in_may_sign_out_and_never_restores_the_old_session() {
    for both in [true, false] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        world.pass(TTL);
        if !both {
            assert!(browser.visit(&world.one, "/me").await.sets_both());
            browser.lose(crate::support::ACCESS);
            idle().await;
        }
        // The request left before the sign-in. Its response arrives after the sign-in's response.
        let late = world.one.answer(browser.get("/me")).await;
        assert!(late.sets_both() == both && !late.touches_no_cookie());
        world.pass(1);
        assert!(browser.submit(&world.one, "/login?name=bob").await.ok());
        let signed_in = browser.value(REFRESH).unwrap().to_owned();
        browser.receive(&late);
        let answer = browser.visit(&world.one, "/me").await;
        if both {
            assert_eq!(answer.status(), 401, "the tokens are of the session that the sign-in replaced");
        } else {
            assert_eq!(answer.text().await, "bob", "the refresh token decides");
            assert_eq!(browser.value(REFRESH), Some(&*signed_in));
        }
        assert_eq!(world.count(&EventKind::ReuseDetected), 0);
        assert!(browser.submit(&world.one, "/login?name=bob").await.ok());
        assert_eq!(browser.visit(&world.one, "/me").await.text().await, "bob");
    }
}
