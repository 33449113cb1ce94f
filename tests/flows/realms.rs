//! Two realms on one host, with one key and one store, are independent.

use tower_sliding_sessions::{EventKind, InvalidToken};

use crate::support::{ACCESS, Browser, Instance, REFRESH, TTL, World, claims_of, idle};

const STAFF: [&str; 2] = ["__Host-staff-access", "__Host-staff-refresh"];

fn staff(world: &World) -> Instance {
    world.other(|builder| builder.realm("staff").cookies(|cookies| cookies.names(STAFF[0], STAFF[1])))
}

/// One browser, signed in to both.
async fn both(world: &World, staff: &Instance) -> Browser {
    let mut browser = world.signed_in("ann").await;
    assert!(browser.submit(staff, "/login?name=ann").await.ok());
    for name in [ACCESS, REFRESH, STAFF[0], STAFF[1]] {
        assert!(browser.value(name).is_some(), "{name}");
    }
    browser
}

#[tokio::test]
async fn sign_in_and_sign_out_of_one_realm_leave_the_other_unchanged() {
    let world = World::new();
    let staff = staff(&world);
    let mut browser = both(&world, &staff).await;
    assert!(browser.submit(&staff, "/login?name=root").await.ok());
    assert_eq!(browser.visit(&staff, "/me").await.text().await, "root");
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");

    assert!(browser.submit(&staff, "/logout").await.ok());
    assert!(!browser.visit(&staff, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn each_realm_renews_independently() {
    let world = World::new();
    let staff = staff(&world);
    let mut browser = both(&world, &staff).await;
    world.pass(TTL);
    let before = browser.value(STAFF[1]).unwrap().to_owned();
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    assert_eq!(browser.value(STAFF[1]), Some(before.as_str()));
    assert_eq!(browser.visit(&staff, "/me").await.renewed(), Some("Rotated"));
}

#[tokio::test]
async fn neither_realm_accepts_the_others_tokens() {
    let world = World::new();
    let staff = staff(&world);
    let browser = both(&world, &staff).await;
    let mut forged = Browser::new();
    forged.plant(STAFF[0], browser.value(ACCESS).unwrap());
    forged.plant(STAFF[1], browser.value(REFRESH).unwrap());
    let calls = world.store.all_calls();
    assert_eq!(forged.visit(&staff, "/me").await.status(), 401);
    assert_eq!(world.store.all_calls(), calls);
    assert_eq!(world.count(&EventKind::AccessTokenInvalid(InvalidToken::Audience)), 1);
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::Audience)), 1);

    // Access and refresh tokens are not interchangeable either.
    let mut swapped = Browser::new();
    swapped.plant(ACCESS, browser.value(REFRESH).unwrap());
    swapped.plant(REFRESH, browser.value(ACCESS).unwrap());
    assert_eq!(swapped.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.store.all_calls(), calls);
}

#[tokio::test]
async fn realms_with_the_same_audience_refuse_each_others_tokens() {
    let world = World::tuned(|builder| builder.audience("api"));
    let staff = staff(&world);
    let mut browser = both(&world, &staff).await;
    let mut forged = Browser::new();
    forged.plant(STAFF[0], browser.value(ACCESS).unwrap());
    assert_eq!(forged.visit(&staff, "/me").await.status(), 401);
    assert!(browser.visit(&staff, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
    assert_eq!(claims_of(browser.value(ACCESS).unwrap())["aud"], "api");
}

#[tokio::test]
async fn same_subject_in_two_realms_is_two_users() {
    let world = World::new();
    let staff = staff(&world);
    let mut browser = both(&world, &staff).await;
    assert_eq!(staff.sessions.list("ann").await.unwrap().len(), 1);
    let shop = world.one.sessions.list("ann").await.unwrap();
    assert!(!staff.sessions.revoke("ann", shop[0].id).await.unwrap(), "not a session of this realm");
    idle().await;
    assert!(browser.visit(&world.one, "/me").await.ok());

    assert_eq!(staff.sessions.revoke_all("ann").await.unwrap(), 1);
    idle().await;
    assert!(!browser.visit(&staff, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn emergency_stop_covers_both_realms() {
    let world = World::new();
    let staff = staff(&world);
    let mut browser = both(&world, &staff).await;
    assert!(browser.visit(&world.one, "/me").await.ok());
    assert!(browser.visit(&staff, "/me").await.ok());
    staff.sessions.revoke_everything().await.unwrap();
    idle().await;
    assert!(!browser.visit(&staff, "/me").await.ok());
    assert!(!browser.visit(&world.one, "/me").await.ok());
}
