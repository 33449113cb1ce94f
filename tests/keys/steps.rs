//! The four steps of a key in code.

use tower_sliding_sessions::{
    EventKind, InvalidToken, KeyError, KeyStep, Keyring, PublicKey, Severity, Timestamp,
    jsonwebtoken::Algorithm,
};

use crate::{
    samples::{ED25519_KID, ed25519, oct, ring, rsa, with},
    support::{ABSOLUTE, ACCESS, GRACE, TTL, World, idle, keys},
};

fn named(nth: u8) -> Keyring {
    keys(nth).with_kid(&format!("k{nth}")).unwrap()
}

fn steps(ring: &Keyring) -> Vec<(String, KeyStep)> {
    ring.list().into_iter().map(|key| (key.kid, key.step)).collect()
}

fn is(kid: &str, step: KeyStep) -> (String, KeyStep) {
    (kid.to_owned(), step)
}

#[test]
fn steps_are_published_signing_retired_and_pulled() {
    use KeyStep::{Published, Retired, Signing};
    let ring = named(0).publish(named(1)).unwrap().publish(named(2)).unwrap();
    assert_eq!(steps(&ring), [is("k0", Signing), is("k1", Published), is("k2", Published)]);
    let ring = ring.promote("k2").unwrap();
    assert_eq!(steps(&ring), [is("k2", Signing), is("k0", Published), is("k1", Published)]);
    assert_eq!(ring.kid(), "k2");
    let ring = ring.retire("k0").unwrap();
    assert_eq!(steps(&ring), [is("k2", Signing), is("k0", Retired), is("k1", Published)]);
    let again = ring.clone().retire("k0").unwrap().promote("k2").unwrap();
    assert_eq!(steps(&again), steps(&ring), "a step that was made changes nothing");
    let back = ring.clone().promote("k0").unwrap();
    assert_eq!(steps(&back)[0], is("k0", Signing), "a retired key can sign again");
    let ring = ring.pull("k0").unwrap().pull("never-here").unwrap();
    assert_eq!(steps(&ring), [is("k2", Signing), is("k1", Published)]);
}

#[test]
fn key_under_two_names_is_pulled_under_both() {
    let ring = named(1).publish(keys(0)).unwrap().publish(named(0)).unwrap();
    assert_eq!(steps(&ring.pull("k0").unwrap()), [is("k1", KeyStep::Signing)]);
    let signs = keys(0).with_kid("new").unwrap().publish(keys(0)).unwrap();
    let old = keys(0).kid().to_owned();
    assert_eq!(signs.pull(&old).unwrap_err(), KeyError::StillSigns(old));
}

#[test]
fn impossible_steps_are_refused() {
    let ring = named(0).publish(named(1)).unwrap();
    let unknown = KeyError::UnknownName("k9".to_owned());
    assert_eq!(ring.clone().promote("k9").unwrap_err(), unknown);
    assert_eq!(ring.clone().retire("k9").unwrap_err(), unknown);
    let signs = KeyError::StillSigns("k0".to_owned());
    assert_eq!(ring.clone().retire("k0").unwrap_err(), signs);
    assert_eq!(ring.clone().pull("k0").unwrap_err(), signs);
    assert!(matches!(ring.clone().pull("no name").unwrap_err(), KeyError::BadName(_)));
    assert_eq!(ring.clone().with_kid("k1").unwrap_err(), KeyError::DuplicateName("k1".to_owned()));
    assert_eq!(ring.publish(named(1)).unwrap_err(), KeyError::DuplicateName("k1".to_owned()));

    let with_public = self::ring(&[oct(0, "signing"), with(rsa(), &serde_json::json!({"kid": "rsa"}))]);
    assert_eq!(with_public.promote("rsa").unwrap_err(), KeyError::CannotSign("rsa".to_owned()));
}

#[tokio::test]
async fn steps_have_times_once_they_are_in_force() {
    let world = World::tuned(|builder| builder);
    let sessions = &world.one.sessions;
    assert_eq!(named(0).list()[0].since, None);
    let start = Timestamp::from_secs(1_800_000_000);
    assert_eq!(sessions.keys().list()[0].since, Some(start));

    sessions.set_keys(named(0).publish(named(1)).unwrap());
    world.pass(100);
    sessions.set_keys(sessions.keys().promote("k1").unwrap());
    world.pass(100);
    sessions.set_keys(sessions.keys().retire("k0").unwrap());
    let list = sessions.keys().list();
    let since: Vec<_> = list.iter().map(|key| key.since.unwrap().since(start).as_secs()).collect();
    assert_eq!(since, [100, 200]);
    assert_eq!(list[0].gone_at, None);
    assert_eq!(list[1].gone_at.unwrap().since(start).as_secs(), 200 + ABSOLUTE + GRACE);

    world.pass(50);
    sessions.set_keys(sessions.keys());
    assert_eq!(sessions.keys().list(), list, "the same ring again keeps the times");
    // A restart of the same configuration: the ring from code has no times.
    let other = world.other(|builder| builder);
    other.sessions.set_keys(named(1).publish(named(0)).unwrap().retire("k0").unwrap());
    assert_eq!(other.sessions.keys().list()[1].since.unwrap().since(start).as_secs(), 250);
}

#[tokio::test]
async fn retired_key_verifies_until_its_last_token_has_expired_and_then_is_gone() {
    let world = World::tuned(|builder| builder.timing(|timing| timing.idle_timeout(timing.absolute_timeout)));
    let sessions = world.one.sessions.clone();
    sessions.set_keys(named(0).publish(named(1)).unwrap());
    let mut idle_browser = world.signed_in("ann").await;
    sessions.set_keys(sessions.keys().promote("k1").unwrap());
    sessions.set_keys(sessions.keys().retire("k0").unwrap());

    world.pass(ABSOLUTE - 1);
    assert!(idle_browser.clone().visit(&world.one, "/me").await.ok(), "its refresh token still lives");
    idle().await;
    world.pass(GRACE);
    assert_eq!(sessions.keys().list().len(), 2);
    let answer = idle_browser.visit(&world.one, "/me").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::UnknownKey)), 0);

    world.pass(1);
    assert_eq!(steps(&sessions.keys()), [is("k1", KeyStep::Signing)], "gone by itself");
    let answer = idle_browser.visit(&world.one, "/me").await;
    assert_eq!(answer.status(), 401, "not 503, although k1 vouched for it");
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::UnknownKey)), 1);

    sessions.set_keys(sessions.keys().publish(named(2)).unwrap());
    let last = world.events().into_iter().rev().find(|kind| matches!(kind, EventKind::KeysChanged { .. }));
    let keys = "k1 signing, k2 published".to_owned();
    assert_eq!(last, Some(EventKind::KeysChanged { keys, pulled: Vec::new() }), "it was not pulled");
}

#[tokio::test]
async fn change_of_keys_is_an_event_and_a_pulled_key_is_a_warning() {
    let world = World::new();
    let sessions = &world.one.sessions;
    sessions.set_keys(named(0).publish(named(1)).unwrap());
    let first = keys(0).kid().to_owned();
    sessions.set_keys(sessions.keys().promote("k1").unwrap().pull("k0").unwrap());
    sessions.set_keys(sessions.keys());
    let changes: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(|kind| match &kind {
            EventKind::KeysChanged { keys, pulled } => {
                let pulled = pulled.clone();
                Some((keys.clone(), pulled, kind.severity(), kind.outcome()))
            }
            _ => None,
        })
        .collect();
    let alone = || "k1 signing".to_owned();
    assert_eq!(
        changes,
        [
            ("k0 signing, k1 published".to_owned(), vec![first], Severity::Warning, Some("pulled")),
            (alone(), vec!["k0".to_owned()], Severity::Warning, Some("pulled")),
            (alone(), Vec::new(), Severity::Info, None),
        ]
    );
}

#[tokio::test]
async fn key_that_is_retired_with_a_time_long_ago_is_as_good_as_pulled_and_reported_as_such() {
    let world = World::new();
    let sessions = &world.one.sessions;
    sessions.set_keys(ring(&[oct(0, "signing"), oct(1, "published")]));
    let browser = world.signed_in("ann").await;
    let wrong = with(oct(0, "retired"), &serde_json::json!({"since": 1}));
    sessions.set_keys(ring(&[oct(1, "signing"), wrong.clone()]));
    assert_eq!(world.one.answer(browser.get("/me")).await.status(), 401);
    let reported = EventKind::KeysChanged { keys: "k1 signing".to_owned(), pulled: vec!["k0".to_owned()] };
    assert_eq!(world.count(&reported), 1);
    // Milliseconds in place of seconds: a time in the future counts as now.
    let wrong = with(wrong, &serde_json::json!({"since": 1_800_000_000_000_u64}));
    sessions.set_keys(ring(&[oct(1, "signing"), wrong]));
    assert!(browser.clone().visit(&world.one, "/me").await.ok());
    world.pass(ABSOLUTE + GRACE);
    assert_eq!(steps(&sessions.keys()), [is("k1", KeyStep::Signing)]);
}

#[test]
fn public_key_in_code_has_a_name_of_its_own_and_cannot_be_promoted() {
    let public = || PublicKey::from_jwk(&rsa().to_string()).unwrap();
    let ring = named(0).publish_public(public()).unwrap();
    assert_eq!(ring.list()[1].algorithm, Algorithm::RS256);
    let kid = public().kid().to_owned();
    assert_eq!(ring.clone().promote(&kid).unwrap_err(), KeyError::CannotSign(kid.clone()));
    assert_eq!(ring.publish_public(public()).unwrap_err(), KeyError::DuplicateName(kid));
    let odd = public().with_kid("https://id.example/1").unwrap();
    assert!(matches!(named(0).publish_public(odd).unwrap_err(), KeyError::BadName(_)));
}

#[tokio::test]
async fn promotion_of_a_key_that_was_not_published_is_reported() {
    let world = World::new();
    let sessions = &world.one.sessions;
    let early = || world.count(&EventKind::KeyPromotedEarly);
    sessions.set_keys(named(1).publish(keys(0)).unwrap());
    assert_eq!(early(), 1);
    sessions.set_keys(sessions.keys().publish(named(2)).unwrap());
    sessions.set_keys(sessions.keys().promote("k2").unwrap());
    assert_eq!(early(), 1, "HS256 keys are used by instances only");
    sessions.set_keys(named(3));
    assert_eq!(early(), 1, "the answer to a leak");
}

#[tokio::test]
async fn public_key_verifies_access_tokens_only() {
    let world = World::new();
    world.one.sessions.set_keys(ring(&[ed25519()]));
    let mut browser = world.signed_in("ann").await;
    // Its private half was destroyed.
    let public = with(ed25519(), &serde_json::json!({"d": null}));
    world.one.sessions.set_keys(ring(&[oct(0, "signing"), public]));
    assert_eq!(world.one.sessions.keys().list()[1].kid, ED25519_KID);
    assert!(browser.visit(&world.one, "/me").await.ok());
    browser.lose(ACCESS);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::Signature)), 1);
}

#[tokio::test]
async fn former_key_that_was_promoted_again_signs() {
    let world = World::new();
    let sessions = &world.one.sessions;
    sessions.set_keys(keys(0).publish(named(1)).unwrap());
    let mut browser = world.signed_in("ann").await;
    for kid in ["k1", keys(0).kid(), "k1"] {
        sessions.set_keys(sessions.keys().promote(kid).unwrap());
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
    }
}
