//! Settings: what the builder refuses, sessions that must be bound, instances with other settings.

use std::time::Duration;

use http::StatusCode;
use tower_sliding_sessions::{
    BuildError, DeviceBound, DeviceBoundError, EventKind, Keyring, Sessions, SessionsBuilder,
    protocol::Refusal,
};

use super::{
    browser::{Browser, offer_of},
    world::{World, bound},
};

fn refused(tune: impl Fn(SessionsBuilder) -> SessionsBuilder) -> DeviceBoundError {
    match tune(Sessions::builder(Keyring::random().expect("random bytes"))).build() {
        Err(BuildError::DeviceBound(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let why = refused(|builder| {
        builder.device_bound(bound()).timing(|timing| timing.access_ttl(minutes(4) - Duration::from_secs(1)))
    });
    assert!(
        matches!(why, DeviceBoundError::AccessLifetime(_))
            && why.to_string().contains("6 times in 9 minutes")
    );
    let fits = Sessions::<()>::builder(Keyring::random().expect("random bytes"))
        .device_bound(bound())
        .timing(|timing| timing.access_ttl(minutes(4)));
    assert!(fits.build().is_ok());
    let partitioned =
        refused(|builder| builder.device_bound(bound()).cookies(|cookies| cookies.partitioned()));
    assert_eq!(partitioned, DeviceBoundError::Partitioned);
    let domain = refused(|builder| {
        builder.device_bound(bound()).cookies(|cookies| cookies.names("a", "r").domain("example.com"))
    });
    assert_eq!(domain, DeviceBoundError::Domain);
    let elsewhere = refused(|builder| {
        builder.device_bound(bound()).cookies(|cookies| cookies.names("a", "r").path("/app"))
    });
    assert!(matches!(elsewhere, DeviceBoundError::CookiePath { .. }));
    for path in ["", "/", "auth", "//auth", "/a{b}", "/a*", "/a?b", "/a b", "/a\"b", "https://a.example/b"] {
        assert!(matches!(
            refused(|builder| builder.device_bound(DeviceBound::new(path))),
            DeviceBoundError::Path(_)
        ));
    }
}

#[tokio::test]
async fn session_that_must_be_bound_is_refused_after_its_time_unless_it_has_a_proof() {
    let required = |builder: SessionsBuilder<String>| {
        builder.device_bound(bound().required_within(Duration::from_secs(900)))
    };
    let world = World::tuned(required);
    let mut old = Browser::without_device();
    old.post(&world, "/login").await;
    let mut new = Browser::signed_in(&world).await;
    for _ in 0..2 {
        world.pass(301);
        assert!(old.get(&world, "/me").await.ok() && new.get(&world, "/me").await.ok());
    }
    world.pass(301);
    assert!(new.get(&world, "/me").await.ok());
    assert_eq!(old.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.count(|kind| *kind == EventKind::Refused(Refusal::DeviceNotBound)), 1);
    // One that comes back after hours, with a key that was not confirmed.
    let mut idle = Browser::signed_in(&world).await;
    world.pass(3600);
    assert!(idle.get(&world, "/me").await.ok());
}

#[tokio::test]
async fn instance_without_the_setting_refuses_bound_sessions_and_serves_others() {
    let world = World::new();
    let without = world.instance(|builder| builder);
    let bound = Browser::confirmed(&world).await;
    let mut unbound = Browser::without_device();
    unbound.post(&world, "/login").await;
    let request = |browser: &Browser| browser.request(http::Method::GET, "/me", world.now(), &[]);
    assert!(without.answer(request(&bound)).await.ok());
    world.pass(301);
    assert_eq!(without.answer(request(&bound)).await.status, StatusCode::UNAUTHORIZED);
    let answer = without.answer(request(&unbound)).await;
    assert!(answer.ok() && offer_of(&answer).is_none());
    // A copy that was made before the confirmation has no mark in its refresh token.
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceProofMissing), 1);
}

#[tokio::test]
async fn list_of_sessions_says_which_are_bound() {
    let world = World::new();
    let _bound = Browser::confirmed(&world).await;
    let _unbound = Browser::without_device().post(&world, "/login").await;
    let listed = world.one.sessions.list("ann").await.expect("a list");
    assert_eq!(listed.iter().map(|info| info.device_bound).collect::<Vec<_>>(), [true, false]);
}
