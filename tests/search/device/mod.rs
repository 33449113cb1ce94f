//! Sessions that are bound to a device key: the browser is never signed out, and a copied refresh token renews nothing
//! once the key is confirmed.
//!
//! The world of the rotation runs below, with every message of it. The browser may register keys at any time, in any
//! number of tabs; any response may be lost, or lose its body; a crash may lose the key, the cookies, or both. Its
//! refresh token is sent with or without a proof: which of the two, is a free choice at the time of sending. A request
//! without a proof that is refused is no failure, since the browser repeats it with one; it is a failure if the browser
//! does not have the key for that.

mod model;
mod step;
mod world;

use tower_sliding_sessions::protocol::RefreshDecision;

use self::{
    model::{BrokenBinding, Copies, DeviceModel},
    step::{DeviceFailure, DeviceStep, DeviceTaken},
    world::Device,
};
use crate::{
    model::Model,
    search::{explore, large, path_to},
    step::{Failure, Step},
    world::Age,
};

/// `C`, `W`, `D`, and the number of messages in flight.
const WORLDS: [(Age, Age, Age, usize); 3] = [(0, 1, 1, 2), (0, 2, 1, 2), (1, 1, 1, 1)];

/// Larger worlds, which take minutes.
const LARGE: [(Age, Age, Age, usize); 5] =
    [(0, 1, 1, 3), (1, 1, 1, 2), (2, 1, 1, 2), (1, 2, 1, 2), (1, 1, 2, 2)];

fn model(crash: Age, window: Age, delay: Age, in_flight: usize) -> DeviceModel {
    let base = Model::new(window, delay, window + 2 * delay + 1).with_in_flight(in_flight);
    DeviceModel::new(if crash > 0 { base.with_crashes(crash) } else { base })
}

struct Found {
    worlds: usize,
    /// Worlds in which a key is confirmed.
    confirmed: usize,
    failure: Option<(DeviceFailure, String)>,
}

fn search(model: &DeviceModel) -> Found {
    let mut steps = Vec::new();
    let start = Device::begin(model);
    let (reached, failed) = explore(start, |world, taken| {
        model.steps(world, &mut steps);
        taken.extend(steps.drain(..).filter_map(|step| {
            let DeviceTaken { world, failure, .. } = model.take(world, step)?;
            Some((step, world, failure.is_some()))
        }));
    });
    let failure = failed.map(|(last, step)| {
        let (mut world, mut time, mut failure, mut told) = (start, 0, None, String::new());
        for step in path_to(&reached, last, step) {
            let taken = model.take(&world, step).expect("it was taken before");
            (world, failure) = (taken.world, taken.failure);
            if step == DeviceStep::Rotation(Step::Tick) {
                time += 1;
                continue;
            }
            let outcome = taken.rotation.map_or_else(String::new, |rotation| format!(" -> {rotation:?}"));
            told += &format!("  at {time:>3}: {step:?}{outcome}\n");
        }
        (failure.expect("it ends with the failure"), told)
    });
    let confirmed = reached.iter().filter(|reached| reached.world.confirmed().is_some()).count();
    Found { worlds: reached.len(), confirmed, failure }
}

fn holds(model: &DeviceModel) -> Found {
    let found = search(model);
    if let Some((failure, told)) = &found.failure {
        panic!("{model}: a counterexample:\n{told}  which is a failure: {failure:?}");
    }
    println!("{model}: {} worlds, {} with a confirmed key, none fails", found.worlds, found.confirmed);
    found
}

fn fails(model: &DeviceModel) -> DeviceFailure {
    let found = search(model);
    let Some((failure, told)) = found.failure else {
        panic!("{model}: {} worlds, and none fails", found.worlds);
    };
    println!("{model}: fails, {} worlds\n{told}  which is a failure: {failure:?}", found.worlds);
    failure
}

#[test]
fn browser_that_binds_its_session_is_never_signed_out() {
    for (crash, window, delay, in_flight) in WORLDS.into_iter().chain(large(LARGE)) {
        let found = holds(&model(crash, window, delay, in_flight));
        assert!(found.confirmed > 0);
    }
}

#[test]
fn sign_out_ends_a_bound_session_for_good() {
    holds(&DeviceModel { signs_out: true, ..model(0, 1, 1, 2) });
}

/// `W + C + 2·G` is exact to one tick. (Without crashes it could be shorter, since the first key stays.)
#[test]
fn time_to_a_confirmation_is_exact() {
    for (crash, window, delay) in [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)] {
        let model = model(crash, window, delay, 2);
        for broken in [BrokenBinding::ConfirmedEarly, BrokenBinding::ConfirmedByFirstProof] {
            assert_eq!(fails(&model.breaking(broken)), DeviceFailure::Stranded);
        }
    }
}

#[test]
fn without_any_one_rule_a_browser_is_stranded() {
    for (broken, crash) in [
        (BrokenBinding::ConfirmedAtOnce, 0),
        (BrokenBinding::ConfirmedAtOnce, 1),
        (BrokenBinding::ConfirmedByToken, 0),
        (BrokenBinding::ConfirmedByToken, 1),
        (BrokenBinding::RepeatKeepsTime, 1),
        (BrokenBinding::LateRegistration, 0),
        (BrokenBinding::UnknownKeyForgotten, 0),
    ] {
        let model = model(crash, 1, 1, 2);
        assert_eq!(fails(&model.breaking(broken)), DeviceFailure::Stranded, "{broken:?}");
    }
}

#[test]
fn copied_cookies_renew_nothing_after_the_confirmation_and_the_user_stays_signed_in() {
    let signed_out = DeviceFailure::Rotation(Failure::SignedOut(RefreshDecision::Reuse));
    for (crash, in_flight) in [(0, 2), (1, 1)].into_iter().chain(large([(1, 2)])) {
        let model = model(crash, 1, 1, in_flight).with_attacker(Copies::Bound);
        assert!(holds(&model).confirmed > 0);
        assert_eq!(fails(&model.breaking(BrokenBinding::ProofNotDemanded)), DeviceFailure::CopyRenewed);
        assert_eq!(fails(&model.breaking(BrokenBinding::ReuseWithoutProof)), signed_out);
        let replaced = fails(&model.breaking(BrokenBinding::ConfirmedKeyReplaced));
        assert!(matches!(replaced, DeviceFailure::Stranded | DeviceFailure::TakenOver), "{replaced:?}");
    }
}

#[test]
fn access_token_that_confirms_its_generation_helps_an_attacker_after_a_crash() {
    let model = model(1, 1, 1, 1).with_attacker(Copies::Bound);
    let broken = model.breaking(BrokenBinding::AccessConfirmsGeneration);
    assert_eq!(fails(&broken), DeviceFailure::Rotation(Failure::SignedOut(RefreshDecision::Reuse)));
}

/// Cookies that are copied before the confirmation are as good as the browser's own: the attacker can bind the session
/// to another device. The user then has to sign in again, and that revokes the session.
#[test]
fn attacker_with_earlier_cookies_can_take_the_session_over() {
    let model = model(0, 1, 1, 2).with_attacker(Copies::Always);
    assert_eq!(fails(&model), DeviceFailure::TakenOver);
}

/// So a session is bound within a time after the sign-in, or never.
#[test]
fn attacker_with_later_cookies_cannot_bind_a_session() {
    let model = DeviceModel { window: Some(2), ..model(0, 1, 1, 2).with_attacker(Copies::Unbound) };
    for keys in [2, 0] {
        let model = DeviceModel { keys, ..model };
        holds(&model);
        assert_eq!(fails(&model.breaking(BrokenBinding::NoWindow)), DeviceFailure::TakenOver);
    }
}

/// Within that time, the first key stays as long as its browser may confirm it.
#[test]
fn attacker_cannot_replace_the_key_of_a_browser_in_use() {
    let model = model(0, 1, 1, 2).with_attacker(Copies::Registered);
    holds(&model);
    let replaced = model.breaking(BrokenBinding::ProvisionalKeyReplaced);
    assert_eq!(fails(&replaced), DeviceFailure::TakenOver);
}
