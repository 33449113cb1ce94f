//! Instances that are at different steps of a rollout.

use tower_sliding_sessions::{EventKind, InvalidToken, Keyring, RejectionKind};

use crate::support::{ABSOLUTE, ACCESS, Browser, Instance, TTL, World, idle, keys};

fn named(nth: u8) -> Keyring {
    keys(nth).with_kid(&format!("k{nth}")).unwrap()
}

/// `sessions.keys()` with the nth key as the signing key.
fn promoted(instance: &Instance, nth: u8) -> Keyring {
    instance.sessions.keys().publish(named(nth)).unwrap().promote(&format!("k{nth}")).unwrap()
}

async fn status(browser: &Browser, instance: &Instance) -> (u16, bool) {
    let answer = instance.answer(browser.get("/me")).await;
    (answer.status().as_u16(), answer.touches_no_cookie())
}

#[tokio::test]
async fn instance_that_is_up_to_three_promotions_behind_answers_503_and_the_session_goes_on() {
    let world = World::new();
    let (two, three) = (world.instance(), world.instance());
    for instance in [&world.one, &two, &three] {
        instance.sessions.set_keys(named(0));
    }
    two.sessions.set_keys(two.sessions.keys().publish(named(1)).unwrap());
    for behind in 1..=3 {
        world.one.sessions.set_keys(promoted(&world.one, behind));
        let mut browser = world.signed_in("ann").await;
        assert_eq!(status(&browser, &three).await, (503, true), "{behind} promotions behind");
        let at_two = if behind == 1 { 200 } else { 503 };
        assert_eq!(status(&browser, &two).await.0, at_two, "it has k0 and k1");
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
    world.one.sessions.set_keys(promoted(&world.one, 4));
    let browser = world.signed_in("ann").await;
    assert_eq!(status(&browser, &two).await.0, 503, "k1 is one of the three that vouch");
    assert_eq!(status(&browser, &three).await, (401, true), "the bound");
    assert!(browser.clone().visit(&world.one, "/me").await.ok(), "and the session goes on");
}

#[tokio::test]
async fn every_pair_of_neighbouring_steps_serves_every_session() {
    let world = World::new();
    let (two, three) = (world.instance(), world.instance());
    let all = [&world.one, &two, &three];
    for instance in all {
        instance.sessions.set_keys(named(0));
    }
    let mut browser = world.signed_in("ann").await;
    for nth in 1..=4 {
        let (kid, former) = (format!("k{nth}"), format!("k{}", nth - 1));
        let steps: [&dyn Fn(Keyring) -> Keyring; 3] =
            [&|ring| ring.publish(named(nth)).unwrap(), &|ring| ring.promote(&kid).unwrap(), &|ring| {
                ring.retire(&former).unwrap()
            }];
        for step in steps {
            for changed in all {
                changed.sessions.set_keys(step(changed.sessions.keys()));
                for instance in all {
                    world.pass(TTL);
                    assert!(browser.visit(instance, "/me").await.ok());
                    idle().await;
                    for other in all {
                        assert_eq!(status(&browser, other).await.0, 200);
                    }
                    idle().await;
                }
            }
        }
    }
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::NewKey)), 0);
    assert_eq!(world.count(&EventKind::KeyPromotedEarly), 0);
}

#[tokio::test]
async fn expired_tokens_of_an_unknown_key_get_401_for_they_are_accepted_nowhere() {
    let world = World::new();
    let two = world.instance();
    world.one.sessions.set_keys(keys(0).publish(named(1)).unwrap());
    world.one.sessions.set_keys(world.one.sessions.keys().promote("k1").unwrap());
    let mut browser = world.signed_in("ann").await;
    let answer = two.answer(browser.get("/me")).await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
    world.pass(ABSOLUTE);
    assert_eq!(status(&browser, &two).await, (401, true));
    browser.lose(ACCESS);
    assert_eq!(status(&browser, &two).await, (401, true));
}

#[tokio::test]
async fn pulled_key_gets_401_although_others_vouch_for_it_and_also_after_a_restart_that_names_it() {
    let world = World::new();
    let two = world.instance();
    for instance in [&world.one, &two] {
        instance.sessions.set_keys(named(0).publish(named(1)).unwrap().promote("k1").unwrap());
    }
    let browser = world.signed_in("ann").await;
    two.sessions.set_keys(two.sessions.keys().promote("k0").unwrap().pull("k1").unwrap());
    assert_eq!(status(&browser, &two).await, (401, true));
    two.sessions.set_keys(two.sessions.keys().publish(named(2)).unwrap());
    assert_eq!(status(&browser, &two).await, (401, true), "later rings remember it");

    let three = world.instance();
    three.sessions.set_keys(named(0));
    assert_eq!(status(&browser, &three).await, (503, true));
    three.sessions.set_keys(named(0).pull("k1").unwrap());
    assert_eq!(status(&browser, &three).await, (401, true));
}
