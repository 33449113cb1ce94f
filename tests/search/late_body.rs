//! A request with a body may be in transit for `B`, because proxies buffer bodies. Such a request is not reuse.
//!
//! The request may present the predecessor of a generation that was confirmed more than a grace period ago. Until the
//! setting `L` is over, the request is refused, and the session is not revoked. A token two generations behind is always
//! reuse. A request is never that late while `B < M + C + G`, or without a crash window `B < M - S`. In the worlds with
//! a crash window, `S` is 0, so `G` is `D`. In most worlds, `L` is `B`.

use tower_sliding_sessions::protocol::{Policy, RefreshDecision};

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds, large},
    step::Failure,
    world::Age,
};

/// `C`, `W`, `D` and `B`.
const WORLDS: [(Age, Age, Age, Age); 5] =
    [(0, 1, 1, 2), (0, 1, 1, 4), (0, 2, 1, 3), (1, 1, 1, 3), (2, 1, 1, 3)];
const LARGE: [(Age, Age, Age, Age); 4] = [(1, 1, 1, 5), (2, 1, 1, 6), (1, 2, 1, 5), (1, 1, 2, 4)];

const SIGNED_OUT: Failure = Failure::SignedOut(RefreshDecision::Reuse);

/// The longest interval that is too short for this lateness.
fn too_short(crash: Age, delay: Age, late: Age) -> Age {
    if crash == 0 { late } else { late.saturating_sub(crash + delay) }
}

fn model((crash, window, delay, late): (Age, Age, Age, Age), interval: Age) -> Model {
    Model::new(window, delay, interval).with_crashes(crash).with_late_bodies(late).with_in_flight(2)
}

#[test]
fn late_body_is_never_taken_for_reuse() {
    for world @ (crash, window, delay, late) in WORLDS.into_iter().chain(large(LARGE)) {
        let interval = (window + 2 * delay).max(too_short(crash, delay, late)) + 1;
        let model = model(world, interval);
        assert!(Policy::new(*model.rules.timing()).is_ok(), "the crate accepts it");
        holds(&model);
        if crash == 0 {
            holds(&model.with_in_flight(3));
        }
    }
}

/// A late request may be served as the successor within one grace period of its confirmation, and then
/// its response comes later than any other. So the bound is `M > W + 2·D` for every crash window, if `S = 0`.
#[test]
fn late_bodies_need_the_whole_rotation_interval() {
    for world @ (_, window, delay, _) in [(0, 1, 1, 2), (0, 2, 1, 3), (1, 1, 1, 3)] {
        assert_eq!(fails(&model(world, window + 2 * delay)), SIGNED_OUT);
        holds(&model(world, window + 2 * delay + 1));
    }
}

/// The instance that serves the late request may be behind the record's clock, and the instance that rotates may be
/// ahead of it. So the bound is that of [`Policy::new`]: `M > W + 2·G` is `M > W + 2·D + 2·S`.
#[test]
fn late_bodies_add_the_clock_difference_twice() {
    for (window, delay, late, skew) in [(1, 1, 2, 1), (2, 1, 3, 1)] {
        let bound = window + 2 * delay + 2 * skew;
        let model = |interval| model((0, window, delay, late), interval).with_skew(skew);
        assert!(Policy::new(*model(bound + 1).rules.timing()).is_ok());
        assert!(Policy::new(*model(bound).rules.timing()).is_err());
        holds(&model(bound + 1));
        assert_eq!(fails(&model(bound)), SIGNED_OUT);
    }
}

#[test]
fn lateness_that_spans_two_rotations_is_too_long() {
    for world @ (crash, _, delay, late) in [(0, 1, 1, 4), (1, 1, 1, 6), (2, 1, 1, 7)] {
        assert_eq!(fails(&model(world, too_short(crash, delay, late))), SIGNED_OUT);
    }
}

#[test]
fn setting_may_be_longer_than_requests_are_late() {
    for (crash, window, delay, late) in WORLDS {
        let interval = (window + 2 * delay).max(too_short(crash, delay, late)) + 1;
        for setting in [late + 1, late + 4, interval + crash + delay + 1] {
            let longer = (crash, window, delay, setting);
            holds(&Model { late_body: Some(late), ..model(longer, interval) });
            let too_late = Model { late_body: Some(setting), ..model(longer, interval) };
            if setting > interval + crash + delay {
                assert_eq!(fails(&too_late), SIGNED_OUT);
            }
        }
    }
}

#[test]
fn late_body_taken_for_reuse_signs_a_browser_out() {
    for world @ (crash, window, delay, late) in [(0, 1, 1, 2), (0, 1, 1, 4), (1, 1, 1, 4), (2, 1, 1, 6)] {
        let interval = (window + 2 * delay).max(too_short(crash, delay, late)) + 1;
        assert_eq!(fails(&model(world, interval).breaking(Broken::LateBodyIsReuse)), SIGNED_OUT);
    }
}

#[test]
fn late_body_that_confirms_like_any_request_signs_a_crashed_browser_out() {
    for world @ (_, window, delay, _) in [(1, 1, 1, 2), (2, 1, 1, 3)] {
        let model = model(world, window + 2 * delay + 1).breaking(Broken::LateBodyConfirms);
        assert_eq!(fails(&model), SIGNED_OUT);
    }
}

/// The attacker adds a body to each request, and the legitimate client never sends one.
#[test]
fn body_hides_an_attacker_only_for_its_lateness() {
    for crash in [0, 1] {
        let model = Model { attacker: true, attacker_with_bodies: true, ..model((crash, 1, 1, 2), 4) };
        let model = Model { late_body: None, ..model };
        let search = holds(&model);
        assert!(search.ended > 0, "attackers were detected");
        assert!(matches!(fails(&model.breaking(Broken::LateBodyForever)), Failure::Unnoticed(_)));
    }
}
