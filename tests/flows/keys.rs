//! Key rotation while sessions exist.

use std::{
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use tower_sliding_sessions::{EventKind, InvalidToken, Keyring, RejectionKind, Sessions, Severity};

use crate::support::{ACCESS, Browser, Instance, Profile, REFRESH, TTL, World, idle, keys};

fn kid(browser: &Browser, name: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = browser.value(name).unwrap().split('.').next().unwrap();
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn new_key_ends_no_session_while_the_old_one_still_verifies() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let old = kid(&browser, ACCESS);
    world.one.sessions.set_keys(keys(1).publish(keys(0)).unwrap());
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None, "the token is still valid");

    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    let new = kid(&browser, ACCESS);
    assert_ne!(new, old);
    assert_eq!(kid(&browser, REFRESH), new);

    // Now the old key can be removed.
    world.one.sessions.set_keys(keys(1));
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn instance_without_the_new_key_must_verify_it_before_it_signs() {
    let world = World::new();
    let two = world.instance();
    world.one.sessions.set_keys(keys(0).publish(keys(1)).unwrap());
    two.sessions.set_keys(keys(1).publish(keys(0)).unwrap());
    let mut browser = world.signed_in("ann").await;
    for turn in 0..6 {
        world.pass(TTL);
        let answer = browser.visit([&world.one, &two][turn % 2], "/me").await;
        assert!(answer.sets_both(), "{answer:?}");
        assert!(browser.visit([&two, &world.one][turn % 2], "/me").await.ok());
        idle().await;
    }
}

#[tokio::test]
async fn removed_key_invalidates_both_tokens_at_once() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    // Both tokens are in the cache of verified tokens.
    assert!(browser.visit(&world.one, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
    let calls = world.store.all_calls();

    world.one.sessions.set_keys(keys(1));
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.status(), 401);
    assert!(answer.touches_no_cookie());
    assert_eq!(world.count(&EventKind::AccessTokenInvalid(InvalidToken::UnknownKey)), 1);
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::UnknownKey)), 1);

    browser.lose(ACCESS);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401, "no renewal by it");
    assert_eq!(world.store.all_calls(), calls, "and the store was never asked");
}

#[tokio::test]
async fn another_key_with_the_same_id_does_not_verify() {
    let world = World::new();
    world.one.sessions.set_keys(keys(0).with_kid("the-key").unwrap());
    let mut browser = world.signed_in("ann").await;
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.one.sessions.set_keys(keys(1).with_kid("the-key").unwrap());
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::AccessTokenInvalid(InvalidToken::Signature)), 1);
}

#[tokio::test]
async fn restored_key_makes_its_sessions_valid_again() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.one.sessions.set_keys(keys(1));
    assert!(!browser.visit(&world.one, "/me").await.ok());
    world.one.sessions.set_keys(keys(1).publish(keys(0)).unwrap());
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[test]
fn hook_may_change_the_keys_when_a_refresh_token_is_invalid() {
    let (done, ended) = mpsc::channel();
    // In a thread of its own: if a lock is held while the hook runs, the hook waits for ever.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let sessions = Arc::new(OnceLock::<Sessions<Profile>>::new());
            let known = sessions.clone();
            let world = World::tuned(move |builder| {
                let known = known.clone();
                builder.on_event(move |event| {
                    if let (EventKind::RefreshTokenInvalid(_), Some(sessions)) = (&event.kind, known.get()) {
                        sessions.set_keys(promoted());
                    }
                })
            });
            let mut browser = world.signed_in("ann").await;
            assert!(sessions.set(world.one.sessions.clone()).is_ok());
            world.one.sessions.set_keys(keys(1));
            assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
            assert!(browser.visit(&world.one, "/me").await.ok(), "the hook has brought the old key back");
        });
        done.send(()).unwrap();
    });
    assert!(ended.recv_timeout(Duration::from_secs(60)).is_ok());
}

/// A ring that signs with the new key and still verifies the old one.
fn promoted() -> Keyring {
    keys(1).publish(keys(0)).unwrap()
}

/// This instance cannot verify the cookies: 503, and they stay unchanged.
async fn is_not_known(instance: &Instance, browser: &mut Browser, path: &str) {
    let before = browser.clone();
    let answer = browser.visit(instance, path).await;
    assert_eq!(answer.status(), 503, "{path}");
    assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.touches_no_cookie());
    assert_eq!(*browser, before);
}

#[tokio::test]
async fn key_that_signs_before_another_instance_knows_it_ends_no_session() {
    let world = World::new();
    let two = world.instance();
    world.one.sessions.set_keys(promoted());
    let mut browser = world.signed_in("ann").await;
    let calls = world.store.all_calls();
    for path in ["/me", "/optional"] {
        is_not_known(&two, &mut browser, path).await;
    }
    assert_eq!(world.store.all_calls(), calls, "the store was not asked");
    let reported = EventKind::RefreshTokenInvalid(InvalidToken::NewKey);
    assert_eq!((world.count(&reported), reported.severity()), (2, Severity::Warning));
    browser.lose(ACCESS);
    is_not_known(&two, &mut browser, "/me").await;
    assert!(browser.visit(&world.one, "/me").await.ok(), "where the key is known, the session stays valid");
    idle().await;
    world.pass(TTL);
    is_not_known(&two, &mut browser, "/me").await;
    two.sessions.set_keys(promoted());
    assert!(browser.visit(&two, "/me").await.sets_both());
    assert_eq!(world.one.sessions.list("ann").await.unwrap().len(), 1, "and it is the only one");
}

#[tokio::test]
async fn sign_in_on_an_instance_that_does_not_know_the_new_key_opens_a_session() {
    let world = World::new();
    let two = world.instance();
    world.one.sessions.set_keys(promoted());
    let mut browser = world.signed_in("ann").await;
    assert!(browser.submit(&two, "/login?name=ann").await.sets_both());
    assert!(browser.visit(&two, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn key_that_no_known_key_vouches_for_is_refused() {
    let world = World::new();
    let two = world.instance();
    // Another application's key, or a foreign one: alone, or with others that are unknown here too.
    for ring in [keys(1), keys(1).publish(keys(2)).unwrap(), Keyring::random().unwrap()] {
        world.one.sessions.set_keys(ring);
        let mut browser = world.signed_in("ann").await;
        assert_eq!(browser.visit(&two, "/me").await.status(), 401);
    }
    let reported = EventKind::RefreshTokenInvalid(InvalidToken::UnknownKey);
    assert_eq!((world.count(&reported), reported.severity()), (3, Severity::Debug));
}

#[tokio::test]
async fn pulled_key_is_refused_although_another_vouches_for_it() {
    let world = World::new();
    let (two, three) = (world.instance(), world.instance());
    world.one.sessions.set_keys(promoted());
    two.sessions.set_keys(promoted());
    let mut browser = world.signed_in("ann").await;
    assert!(browser.visit(&two, "/me").await.ok());
    // On the running instance, which had it.
    two.sessions.set_keys(keys(0));
    assert_eq!(browser.visit(&two, "/me").await.status(), 401);
    // On an instance that never had it, but has its ID listed as pulled.
    is_not_known(&three, &mut browser, "/me").await;
    three.sessions.set_keys(keys(0).pull(&kid(&browser, REFRESH)).unwrap());
    assert_eq!(browser.visit(&three, "/me").await.status(), 401);
    // An instance with the key in its ring verifies by it again.
    two.sessions.set_keys(keys(0).publish(keys(1)).unwrap());
    assert!(browser.visit(&two, "/me").await.ok());
    assert!(keys(0).pull("no name").is_err());
}

#[tokio::test]
async fn three_steps_of_a_key_rollout_refuse_no_request() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    let published = || keys(0).publish(keys(1)).unwrap();
    for [one, other] in [
        [published(), keys(0)],
        [published(), published()],
        [promoted(), published()],
        [promoted(), promoted()],
    ] {
        world.one.sessions.set_keys(one);
        two.sessions.set_keys(other);
        for instance in [&world.one, &two, &world.one, &two] {
            world.pass(TTL);
            assert!(browser.visit(instance, "/me").await.ok());
            idle().await;
            assert!(world.one.answer(browser.get("/me")).await.ok());
            assert!(two.answer(browser.get("/me")).await.ok());
            idle().await;
        }
    }
}

#[tokio::test]
async fn sign_out_where_the_new_key_is_not_known_says_that_it_revoked_nothing() {
    let world = World::new();
    let two = world.instance();
    world.one.sessions.set_keys(promoted());
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    assert_eq!(browser.submit(&two, "/leave").await.status(), 503);
    assert_eq!(browser, before);
    assert!(browser.submit(&world.one, "/leave").await.ok());
    assert!(world.one.sessions.list("ann").await.unwrap().is_empty());
}
