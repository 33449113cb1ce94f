//! A sign-out revokes every session that the cookies name, beside any other values, or fails with an
//! error.

use tower_sliding_sessions::RejectionKind;

use crate::support::{ACCESS, Browser, REFRESH, TTL, Trouble, World, keys};

async fn live(world: &World) -> usize {
    world.one.sessions.list("ann").await.unwrap().len()
}

#[tokio::test]
async fn planted_value_keeps_no_session_valid() {
    let fat = format!("junk={}", "x".repeat(65 * 1024));
    let (both, junk) = (format!("{ACCESS}=x; {REFRESH}=x"), format!("{REFRESH}=a.b.c"));
    let many: String = (0..5000).map(|nth| format!("{REFRESH}=x{nth}; ")).collect();
    for planted in [&fat, &both, &junk, &many] {
        for before in [true, false] {
            let world = World::new();
            let mut browser = world.signed_in("ann").await;
            let copy = browser.clone();
            let own = format!(
                "{ACCESS}={}; {REFRESH}={}",
                copy.value(ACCESS).unwrap(),
                copy.value(REFRESH).unwrap()
            );
            let (first, second) = if before { (planted, &own) } else { (&own, planted) };
            let sent = browser.post("/leave").with("cookie", Some(first)).and("cookie", second);
            let answer = world.one.answer(sent).await;
            browser.receive(&answer);
            assert!(answer.ok() && browser.is_empty());
            assert_eq!(live(&world).await, 0);
            assert_eq!(world.one.answer(copy.get("/me")).await.status(), 401);
        }
    }
}

#[tokio::test]
async fn every_session_that_a_value_names_is_revoked() {
    let world = World::new();
    let (one, two, three) =
        (world.signed_in("ann").await, world.signed_in("ann").await, world.signed_in("ann").await);
    world.signed_in("ann").await;
    world.pass(TTL);
    // By an expired access token, by a refresh token, and by a refresh token next to another value.
    let sent = Browser::new()
        .post("/leave")
        .and("cookie", &format!("{ACCESS}={}", one.value(ACCESS).unwrap()))
        .and("cookie", &format!("{REFRESH}={}; {REFRESH}=x", two.value(REFRESH).unwrap()))
        .and("cookie", &format!("{REFRESH}={}", three.value(REFRESH).unwrap()));
    assert!(world.one.answer(sent).await.removes_cookies());
    assert_eq!(live(&world).await, 1);
}

#[tokio::test]
async fn sign_out_that_may_have_missed_a_session_is_an_error() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let planted: String = (0..9).map(|nth| format!("{REFRESH}=x.y.{nth}; ")).collect();
    let answer = world.one.answer(browser.post("/leave").and("cookie", &planted)).await;
    assert_eq!(answer.rejection(), Some(RejectionKind::TooManyCookies));
    assert_eq!(answer.status(), 431);
    assert!(answer.touches_no_cookie());
}

#[tokio::test]
async fn session_that_cannot_be_revoked_keeps_the_cookies_and_the_sign_out_fails() {
    let world = World::new();
    let (one, two) = (world.signed_in("ann").await, world.signed_in("ann").await);
    let both = || one.post("/leave").and("cookie", &format!("{REFRESH}={}", two.value(REFRESH).unwrap()));
    world.store.trouble("revoke", Trouble::Fail);
    let answer = world.one.answer(both()).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.touches_no_cookie());
    assert_eq!(world.store.calls("revoke"), 2, "the other one is revoked although one fails");
    world.store.recover();
    assert!(world.one.answer(both()).await.removes_cookies());
    assert_eq!(live(&world).await, 0);
}

#[tokio::test]
async fn sign_out_with_a_token_of_a_key_not_known_here_yet_is_an_error() {
    let world = World::new();
    let ahead = world.instance();
    ahead.sessions.set_keys(keys(1).publish(keys(0)).unwrap());
    let (own, new) = (world.signed_in("ann").await, world.signed_in_to(&ahead, "ann").await);
    let refresh = new.value(REFRESH).unwrap();
    let answer = world.one.answer(own.post("/leave").and("cookie", &format!("{REFRESH}={refresh}"))).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.touches_no_cookie());
    assert_eq!(live(&world).await, 1, "the session that is known is revoked");
    // A request with the same cookies is not served by the other value either.
    let own = world.signed_in("ann").await;
    let sent = || own.get("/me").and("cookie", &format!("{REFRESH}={refresh}"));
    assert_eq!(world.one.answer(sent()).await.status(), 503);
    assert_eq!(ahead.answer(sent()).await.status(), 401, "there, both are valid");
}
