//! The cookie that scripts can read.

use crate::support::{ACCESS, Answer, Browser, TTL, World};

const NAME: &str = "__Host-me";
const SHOWN: &str = "%7B%22role%22%3A%22editor%22%7D";

fn world() -> World {
    World::tuned(|builder| {
        builder.readable_cookie(NAME, |profile| serde_json::json!({ "role": profile.role.clone() }))
    })
}

fn line<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.set_cookies().into_iter().find(|line| line.starts_with(name)).unwrap()
}

#[tokio::test]
async fn readable_cookie_has_the_chosen_claims_and_follows_the_access_cookie() {
    let world = world();
    let mut browser = Browser::new();
    let signed_in = browser.submit(&world.one, "/login?name=ann&role=editor").await;
    assert_eq!(signed_in.cookie(NAME), Some(SHOWN));
    assert!(!line(&signed_in, NAME).contains("HttpOnly"), "scripts can read this one");
    assert!(line(&signed_in, ACCESS).contains("HttpOnly"), "and only this one");
    assert!(browser.visit(&world.one, "/me").await.touches_no_cookie());
    world.pass(TTL);
    assert_eq!(browser.visit(&world.one, "/me").await.cookie(NAME), Some(SHOWN));
    let gone = browser.submit(&world.one, "/logout").await;
    assert!(line(&gone, NAME).contains("Max-Age=0"));
    assert!(browser.is_empty());
}

#[tokio::test]
async fn forged_readable_cookie_has_no_effect() {
    let world = world();
    let mut browser = Browser::new();
    browser.submit(&world.one, "/login?name=ann").await;
    browser.plant(NAME, SHOWN);
    for lost in [false, true] {
        if lost {
            browser.lose(NAME);
        }
        assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
    }
    world.pass(TTL);
    assert_eq!(browser.visit(&world.one, "/me").await.cookie(NAME), Some("%7B%22role%22%3A%22%22%7D"));
}
