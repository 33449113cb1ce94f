//! "Your devices": the list with origin and times, and the revocation of single devices.

use std::time::Duration;

use tower_sliding_sessions::{Clock as _, EventKind, SessionInfo};

use crate::{
    near::{id, is_in},
    support::{Browser, TTL, World, idle},
};

const M: Duration = Duration::from_secs(240);

/// A world that records a request's device as its origin.
fn world() -> World {
    World::tuned(|builder| {
        builder.origin(|head| Some(head.headers.get("user-agent")?.to_str().ok()?.to_owned()))
    })
}

async fn signed_in(world: &World, device: Option<&str>) -> Browser {
    let mut browser = Browser::new();
    let answer = world.one.answer(browser.post("/login?name=ann").with("user-agent", device)).await;
    browser.receive(&answer);
    assert!(answer.sets_both());
    browser
}

async fn list(world: &World) -> Vec<SessionInfo> {
    world.one.sessions.list("ann").await.unwrap()
}

#[tokio::test]
async fn devices_are_listed_oldest_first_with_origin_and_start() {
    let world = world();
    let began = world.clock.now();
    let phone = signed_in(&world, Some("phone")).await;
    world.pass(60);
    let laptop = signed_in(&world, Some("laptop")).await;
    world.pass(60);
    let unknown = signed_in(&world, None).await;
    world.signed_in("bob").await;

    let listed = list(&world).await;
    let ids: Vec<_> = listed.iter().map(|info| info.id).collect();
    assert_eq!(ids, [id(&phone), id(&laptop), id(&unknown)]);
    let origins: Vec<_> = listed.iter().map(|info| info.origin.as_deref()).collect();
    assert_eq!(origins, [Some("phone"), Some("laptop"), None]);
    for (info, after) in listed.iter().zip([0, 60, 120]) {
        assert_eq!(info.created_at, began + Duration::from_secs(after));
        assert_eq!(info.last_seen, info.created_at);
        assert_eq!(info.expires_at, info.created_at + Duration::from_secs(24 * 3600));
    }
}

#[tokio::test]
async fn last_use_is_listed_in_whole_rotation_intervals_since_the_start() {
    let world = world();
    world.pass(17);
    let mut browser = signed_in(&world, None).await;
    let began = world.clock.now();
    let mut last_uses = Vec::new();
    for seconds in [TTL, TTL, TTL, 3000] {
        world.pass(seconds);
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        let info = &list(&world).await[0];
        assert_eq!(info.created_at, began);
        last_uses.push(info.last_seen.since(began));
    }
    // Used after 300, 600, 900 and 3900 seconds.
    assert_eq!(last_uses, [M, M * 2, M * 3, M * 16]);
}

#[tokio::test]
async fn revoked_device_is_no_longer_listed() {
    let world = world();
    let two = world.instance();
    let (phone, laptop) = (signed_in(&world, Some("phone")).await, signed_in(&world, Some("laptop")).await);
    let lost = list(&world).await.into_iter().find(|info| info.origin.as_deref() == Some("phone")).unwrap();
    assert!(two.sessions.revoke("ann", lost.id).await.unwrap());
    idle().await;
    assert!(!is_in(&world.one, &phone).await && !is_in(&two, &phone).await);
    assert!(is_in(&world.one, &laptop).await && is_in(&two, &laptop).await);
    assert_eq!(list(&world).await.len(), 1);
}

#[tokio::test]
async fn session_revokes_all_others_of_its_user_and_stays_valid() {
    let world = world();
    let two = world.instance();
    let others = [signed_in(&world, None).await, signed_in(&world, None).await];
    let (mut current, bob) = (signed_in(&world, None).await, world.signed_in("bob").await);
    for renewed in [false, true] {
        world.pass(if renewed { TTL } else { 1 });
        let answer = current.submit(&two, "/revoke-others").await;
        assert!(answer.ok() && answer.sets_both() == renewed);
        assert_eq!(answer.text().await, if renewed { "0" } else { "2" });
        idle().await;
        for browser in &others {
            assert!(!is_in(&world.one, browser).await && !is_in(&two, browser).await);
        }
        for browser in [&current, &bob] {
            assert!(is_in(&world.one, browser).await && is_in(&two, browser).await);
        }
    }
    assert_eq!(world.count(&EventKind::Revoked { sessions: 2 }), 1);
}

#[tokio::test]
async fn revocation_of_no_session_is_no_event() {
    let world = world();
    let (mine, theirs) = (signed_in(&world, None).await, world.signed_in("bob").await);
    assert!(!world.one.sessions.revoke("ann", id(&theirs)).await.unwrap());
    assert_eq!(world.one.sessions.revoke_all("carol").await.unwrap(), 0);
    assert!(is_in(&world.one, &theirs).await && is_in(&world.one, &mine).await);
    assert!(!world.events().iter().any(|event| matches!(event, EventKind::Revoked { .. })));
    assert!(world.one.sessions.revoke("ann", id(&mine)).await.unwrap());
    assert!(!world.one.sessions.revoke("ann", id(&mine)).await.unwrap());
    assert_eq!(world.count(&EventKind::Revoked { sessions: 1 }), 1);
}

#[tokio::test]
async fn password_change_revokes_earlier_sessions_except_its_own() {
    let world = world();
    let two = world.instance();
    let (current, old) = (signed_in(&world, None).await, signed_in(&world, None).await);
    world.pass(100);
    let changed = world.clock.now();
    let at_once = signed_in(&world, None).await;
    world.pass(100);
    let new = signed_in(&world, None).await;
    let ended = world.one.sessions.revoke_before("ann", changed, Some(id(&current))).await.unwrap();
    assert_eq!(ended, 1);
    idle().await;
    assert!(!is_in(&world.one, &old).await && !is_in(&two, &old).await);
    for browser in [&current, &at_once, &new] {
        assert!(is_in(&world.one, browser).await && is_in(&two, browser).await);
    }
}
