//! Encrypted cookies: the same sessions, and nothing about them can be read from the cookies.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tower_sliding_sessions::{
    EventKind, InvalidToken, MintError, RejectionKind, SessionsBuilder, SignInError, oauth::Grant,
};

use crate::support::{
    ABSOLUTE, ACCESS, Browser, GRACE, IDLE, Instance, Profile, REFRESH, TTL, World, claims_of, idle, keys,
};

fn encrypted(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    builder.cookies(|cookies| cookies.encrypted())
}

fn world() -> World {
    World::tuned(encrypted)
}

fn is_encrypted(browser: &Browser, name: &str) -> bool {
    browser.value(name).unwrap().split('.').count() == 5
}

/// All that can be decoded of a cookie without a key.
fn decoded(value: &str) -> Vec<Vec<u8>> {
    value.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect()
}

fn header_of(browser: &Browser, name: &str) -> Value {
    serde_json::from_slice(&decoded(browser.value(name).unwrap())[0]).unwrap()
}

#[tokio::test]
async fn session_lives_through_renewals_and_its_cookies_tell_nothing_of_it() {
    let world = world();
    let mut browser = Browser::new();
    assert!(browser.submit(&world.one, "/login?name=ann-of-accounting&role=treasurer").await.sets_both());
    let sid = world.one.sessions.list("ann-of-accounting").await.unwrap()[0].id;
    for round in 0..4 {
        for (name, typ) in [(ACCESS, "at+jwt"), (REFRESH, "rt+jwt")] {
            let header = header_of(&browser, name);
            let mut members: Vec<_> = header.as_object().unwrap().keys().map(String::as_str).collect();
            members.retain(|member| *member != "exp");
            assert_eq!(members, ["alg", "cty", "enc", "kid"]);
            assert_eq!((&header["alg"], &header["enc"]), (&"dir".into(), &"A256GCM".into()));
            assert_eq!(header["cty"], typ);
            // Only the day on which the session ends at the latest.
            let day = header.get("exp").map(|exp| exp.as_u64().unwrap());
            assert_eq!(day.is_some(), name == REFRESH);
            assert!(day.is_none_or(|day| day % 86_400 == 0 && day >= 1_800_000_000 + ABSOLUTE));

            let value = browser.value(name).unwrap();
            let mut all = decoded(value).concat();
            all.extend_from_slice(value.as_bytes());
            let said = |text: &[u8]| all.windows(text.len()).any(|part| part == text);
            for secret in ["ann-of-accounting", "treasurer", "sessions", "auth_time"] {
                assert!(!said(secret.as_bytes()), "{name} of round {round} says {secret}");
                assert!(!said(URL_SAFE_NO_PAD.encode(secret).as_bytes()), "{name} of round {round}");
            }
            // With the quotes, because three letters alone also occur by chance.
            for member in ["\"sub\"", "\"sid\"", "\"gen\"", "\"iat\""] {
                assert!(!said(member.as_bytes()), "{name} of round {round} says {member}");
            }
            assert!(!said(sid.encode().as_bytes()) && !said(sid.as_bytes()));
        }
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
        assert!(browser.visit(&world.instance(), "/me").await.ok());
        idle().await;
    }
    assert!(browser.submit(&world.one, "/logout").await.removes_cookies());
}

#[tokio::test]
async fn valid_encrypted_cookie_makes_no_store_call_and_no_event() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    let two = world.instance();
    // It does not know yet what was revoked before it started.
    assert!(browser.visit(&two, "/me").await.ok());
    for instance in [&world.one, &two] {
        let (calls, events) = (world.store.all_calls(), world.events().len());
        for _ in 0..3 {
            assert!(browser.visit(instance, "/me").await.touches_no_cookie());
        }
        assert_eq!((world.store.all_calls(), world.events().len()), (calls, events));
    }
}

#[tokio::test]
async fn lost_response_can_be_requested_again_and_has_the_same_refresh_cookie() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let lost = world.one.answer(browser.get("/me")).await.cookie(REFRESH).map(str::to_owned);
    let again = browser.visit(&world.instance(), "/me").await;
    assert!(lost.is_some() && again.cookie(REFRESH).map(str::to_owned) == lost);
}

/// The option is turned on, or off, while a session lives: with instances of both settings.
async fn switches(from: &Instance, to: &Instance, world: &World, encrypts: bool) {
    let mut browser = world.signed_in_to(from, "ann").await;
    for name in [ACCESS, REFRESH] {
        assert_eq!(is_encrypted(&browser, name), !encrypts);
    }
    assert!(browser.visit(to, "/me").await.touches_no_cookie());
    for turn in 0..4 {
        world.pass(TTL);
        let (one, other) = if turn % 2 == 0 { (to, from) } else { (from, to) };
        assert!(browser.visit(one, "/me").await.sets_both());
        for name in [ACCESS, REFRESH] {
            assert_eq!(is_encrypted(&browser, name), encrypts == (turn % 2 == 0));
        }
        assert!(browser.visit(other, "/me").await.touches_no_cookie());
        idle().await;
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    assert!(browser.submit(to, "/logout").await.ok());
    assert!(!browser.visit(from, "/me").await.ok());
}

#[tokio::test]
async fn option_is_turned_on_and_off_while_users_are_signed_in() {
    let world = World::new();
    switches(&world.one, &world.other(encrypted), &world, true).await;
    let world = World::new();
    switches(&world.other(encrypted), &world.one, &world, false).await;
}

#[tokio::test]
async fn keys_rotate_and_a_removed_key_refuses_its_cookies_at_once() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    let old = header_of(&browser, REFRESH)["kid"].clone();
    world.one.sessions.set_keys(keys(1).publish(keys(0)).unwrap());
    assert!(browser.visit(&world.one, "/me").await.touches_no_cookie());
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    for name in [ACCESS, REFRESH] {
        assert_ne!(header_of(&browser, name)["kid"], old);
    }
    idle().await;
    world.one.sessions.set_keys(keys(2));
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::UnknownKey)), 1);
}

#[tokio::test]
async fn instance_without_the_new_key_answers_503_until_the_day_after_the_session() {
    let world = world();
    let two = world.instance();
    world.one.sessions.set_keys(keys(1).publish(keys(0)).unwrap());
    let mut browser = world.signed_in("ann").await;
    let answer = browser.visit(&two, "/me").await;
    assert_eq!((answer.status().as_u16(), answer.touches_no_cookie()), (503, true));
    assert!(!browser.submit(&two, "/leave").await.ok(), "the session would stay");
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.pass(ABSOLUTE + 86_400);
    assert_eq!(browser.visit(&two, "/me").await.status(), 401);

    let mut forged = Browser::new();
    let mut header = header_of(&browser, REFRESH);
    header["kid"] = "unknown".into();
    header["exp"] = (1_900_000_000_u64).into();
    let value = browser.value(REFRESH).unwrap();
    let rest = value.split_once('.').unwrap().1;
    forged.plant(REFRESH, &format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())));
    assert_eq!(forged.visit(&world.one, "/me").await.status(), 401, "no key vouches for it");
}

#[tokio::test]
async fn cookies_are_not_interchangeable_and_another_realm_refuses_them() {
    let world = world();
    let browser = world.signed_in("ann").await;
    let staff = world.other(|builder| encrypted(builder.realm("staff")));
    let mut swapped = Browser::new();
    swapped.plant(ACCESS, browser.value(REFRESH).unwrap());
    swapped.plant(REFRESH, browser.value(ACCESS).unwrap());
    let mut same = Browser::new();
    same.keep_all_of(&browser);
    let calls = world.store.all_calls();
    assert_eq!(swapped.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(same.visit(&staff, "/me").await.status(), 401);
    assert_eq!(world.store.all_calls(), calls);
}

#[tokio::test]
async fn claims_that_fit_only_without_encryption_are_refused_at_sign_in() {
    let world = World::new();
    let encrypts = world.other(encrypted);
    // An access cookie of 2 750 bytes or so, which has room for a device key.
    let role = "x".repeat(1_780);
    let mut browser = Browser::new();
    assert!(browser.submit(&world.one, &format!("/login?name=ann&role={role}")).await.ok());
    assert!(browser.value(ACCESS).unwrap().len() <= 3072);
    let answer = Browser::new().submit(&encrypts, &format!("/login?name=bob&role={role}")).await;
    assert_eq!(answer.rejection(), Some(RejectionKind::ClaimsTooLarge));
    assert_eq!(encrypts.sessions.list("bob").await.unwrap().len(), 0);
    let refused = encrypts.sessions.issue_tokens(Grant::new("bob", Profile { role })).await.unwrap_err();
    assert!(matches!(refused, SignInError::Claims(MintError::TooLong { limit: 3072, .. })), "{refused:?}");

    // It was signed in without encryption, and cannot be renewed with it: the cookies stay as they are.
    world.pass(TTL);
    assert!(browser.visit(&encrypts, "/me").await.touches_no_cookie());
    assert_eq!(world.count(&EventKind::CookieTooLarge), 3);
    idle().await;
    world.pass(GRACE);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
}

#[tokio::test]
async fn bearer_tokens_are_not_encrypted() {
    let world = world();
    let tokens = world.one.sessions.issue_tokens(Grant::new("ann", Profile::default())).await.unwrap();
    assert_eq!(claims_of(tokens.access_token())["sub"], "ann");
    assert_eq!(claims_of(tokens.refresh_token().unwrap())["sub"], "ann");
}

#[tokio::test]
async fn of_two_values_the_live_session_is_served_and_sign_out_revokes_both() {
    let world = world();
    let line = |browser: &Browser| {
        let [access, refresh] = [ACCESS, REFRESH].map(|name| browser.value(name).unwrap().to_owned());
        format!("{ACCESS}={access}; {REFRESH}={refresh}")
    };
    let (live, mut revoked) = (world.signed_in("ann").await, world.signed_in("ann").await);
    let both = format!("{}; {}", line(&revoked), line(&live));
    let sent = Browser::new().get("/me").and("cookie", &both);
    assert_eq!(world.one.answer(sent).await.status(), 401, "two live sessions");
    assert!(revoked.submit(&world.one, "/logout").await.ok());
    let sent = Browser::new().get("/me").and("cookie", &both);
    assert!(world.one.answer(sent).await.ok());

    let other = world.signed_in("ann").await;
    let sent = Browser::new().post("/leave").and("cookie", &format!("{}; {}", line(&live), line(&other)));
    assert!(world.one.answer(sent).await.ok());
    assert_eq!(world.one.sessions.list("ann").await.unwrap().len(), 0);
}

#[tokio::test]
async fn persistent_cookies_and_idle_timeout_are_as_without_encryption() {
    let world = world();
    let mut browser = world.signed_in("ann").await;
    world.pass(IDLE);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
}
