//! `M > W + 2·D + S`: within this bound no legitimate browser is ever signed out. Outside it, one is.

use tower_sliding_sessions::protocol::{Policy, RefreshDecision};

use crate::{
    model::Model,
    search::{fails, holds},
    step::Failure,
    world::Age,
};

/// Pairs of `W` and `D`, and the number of messages in flight that can be searched in reasonable time.
const PAIRS: [(Age, Age, usize); 9] =
    [(1, 1, 6), (2, 1, 5), (1, 2, 5), (3, 1, 4), (2, 2, 4), (1, 3, 4), (4, 1, 4), (3, 3, 3), (5, 4, 3)];

/// `W`, `D` and `S`.
const SKEWED: [(Age, Age, Age); 5] = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 1, 2)];

const SIGNED_OUT: Failure = Failure::SignedOut(RefreshDecision::Reuse);

#[test]
fn legitimate_browser_is_never_signed_out_within_the_bound() {
    for (window, delay, in_flight) in PAIRS {
        let model = Model::new(window, delay, window + 2 * delay + 1).with_in_flight(in_flight);
        assert!(Policy::new(*model.rules.timing()).is_ok(), "the crate accepts it");
        holds(&model);
    }
}

#[test]
fn bound_is_exact() {
    for (window, delay, _) in PAIRS {
        let model = Model::new(window, delay, window + 2 * delay);
        assert!(Policy::new(*model.rules.timing()).is_err(), "the crate refuses it");
        assert_eq!(fails(&model), SIGNED_OUT);
    }
}

#[test]
fn clock_difference_is_added_to_the_bound() {
    for (window, delay, skew) in SKEWED {
        let bound = window + 2 * delay + skew;
        let model = |interval| Model::new(window, delay, interval).with_skew(skew).with_in_flight(4);
        holds(&model(bound + 1));
        assert_eq!(fails(&model(bound)), SIGNED_OUT);
    }
}

/// [`Policy::new`] requires that: `M > W + 2·G` is `M > W + 2·D + 2·S`.
#[test]
fn clock_steps_during_a_handler_add_the_difference_twice() {
    for (window, delay, skew) in SKEWED {
        let bound = window + 2 * delay + 2 * skew;
        let model = |interval| {
            let model = Model::new(window, delay, interval).with_skew(skew).with_in_flight(4);
            Model { stepping_clocks: true, ..model }
        };
        assert!(Policy::new(*model(bound + 1).rules.timing()).is_ok());
        assert!(Policy::new(*model(bound).rules.timing()).is_err());
        holds(&model(bound + 1));
        assert_eq!(fails(&model(bound)), SIGNED_OUT);
    }
}

#[test]
fn grace_below_delay_plus_skew_is_too_short_for_every_interval() {
    for (window, delay, skew) in [(1, 2, 0), (1, 1, 1), (1, 2, 1)] {
        let model = Model::new(window, delay, 20).with_skew(skew);
        holds(&model);
        assert_eq!(fails(&model.with_grace(delay + skew - 1)), SIGNED_OUT);
    }
}

/// Confirmations may be written after the response. A handler may replace the access token: together with
/// its refresh token inside the write window, and for the presented generation later.
#[test]
fn late_confirmations_and_new_claims_do_not_change_the_bound() {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (2, 1, 1)] {
        let model = Model::new(window, delay, window + 2 * delay + skew + 1).with_skew(skew);
        holds(&Model { late_notes: true, new_claims: true, ..model.with_in_flight(4) });
    }
}

/// Worlds drop state that cannot make a difference. This checks that.
#[test]
fn dropped_state_made_no_difference_to_the_bound() {
    for (window, delay) in [(1, 1), (2, 1)] {
        let model = |interval| Model { remembers_all: true, ..Model::new(window, delay, interval) };
        holds(&model(window + 2 * delay + 1));
        assert_eq!(fails(&model(window + 2 * delay)), SIGNED_OUT);
    }
}
