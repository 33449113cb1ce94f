//! `M > W + 2·D + S`: within it no legitimate browser is ever signed out, and without it one is.

use tower_sliding_sessions::protocol::{Policy, Rotation};

use crate::{
    model::Model,
    search::{fails, holds},
    step::Failure,
    world::Age,
};

/// Pairs of `W` and `D`, and how many messages at a time there is time to search them with.
const PAIRS: [(Age, Age, usize); 9] =
    [(1, 1, 6), (2, 1, 5), (1, 2, 5), (3, 1, 4), (2, 2, 4), (1, 3, 4), (4, 1, 4), (3, 3, 3), (5, 4, 3)];

/// `W`, `D` and `S`.
const SKEWED: [(Age, Age, Age); 5] = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 1, 2)];

const SIGNED_OUT: Failure = Failure::SignedOut(Rotation::Reuse);

#[test]
fn a_legitimate_browser_is_never_signed_out_within_the_bound() {
    for (window, delay, in_flight) in PAIRS {
        let model = Model::new(window, delay, window + 2 * delay + 1).with_in_flight(in_flight);
        assert!(Policy::new(*model.rules.timing()).is_ok(), "the crate accepts it");
        holds(&model);
    }
}

#[test]
fn the_bound_is_exact() {
    for (window, delay, _) in PAIRS {
        let model = Model::new(window, delay, window + 2 * delay);
        assert!(Policy::new(*model.rules.timing()).is_err(), "the crate refuses it");
        assert_eq!(fails(&model), SIGNED_OUT);
    }
}

#[test]
fn clocks_that_differ_cost_their_difference() {
    for (window, delay, skew) in SKEWED {
        let bound = window + 2 * delay + skew;
        let model = |interval| Model::new(window, delay, interval).with_skew(skew).with_in_flight(4);
        holds(&model(bound + 1));
        assert_eq!(fails(&model(bound)), SIGNED_OUT);
    }
}

/// That is what [`Policy::new`] asks for: `M > W + 2·G` is `M > W + 2·D + 2·S`.
#[test]
fn clocks_that_step_while_a_handler_runs_cost_it_twice() {
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
fn a_grace_shorter_than_delay_and_skew_is_too_short_whatever_the_interval() {
    for (window, delay, skew) in [(1, 2, 0), (1, 1, 1), (1, 2, 1)] {
        let model = Model::new(window, delay, 20).with_skew(skew);
        holds(&model);
        assert_eq!(fails(&model.with_grace(delay + skew - 1)), SIGNED_OUT);
    }
}

/// Confirmations may be written behind the request, and a handler may have the access token
/// replaced: with its refresh token while cookies may be written, and for the presented generation
/// afterwards.
#[test]
fn neither_late_confirmations_nor_new_claims_change_the_bound() {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (2, 1, 1)] {
        let model = Model::new(window, delay, window + 2 * delay + skew + 1).with_skew(skew);
        holds(&Model { late_notes: true, new_claims: true, ..model.with_in_flight(4) });
    }
}

/// Worlds forget what can make no difference any more. They had better be right.
#[test]
fn nothing_that_worlds_forget_made_a_difference() {
    for (window, delay) in [(1, 1), (2, 1)] {
        let model = |interval| Model { remembers_all: true, ..Model::new(window, delay, interval) };
        holds(&model(window + 2 * delay + 1));
        assert_eq!(fails(&model(window + 2 * delay)), SIGNED_OUT);
    }
}
