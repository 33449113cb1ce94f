//! A browser that was killed is not taken for an attacker.
//!
//! It restarts with cookies less than `C` old. Its connections are closed, but its requests may still
//! arrive. A generation is confirmed only when no request and no crash can bring back an older one, so
//! the browser stays signed in after any number of crashes.

use tower_sliding_sessions::protocol::{Policy, RefreshDecision};

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds, large},
    step::Failure,
    world::Age,
};

/// `C`, `W`, `D`, and the number of messages in flight that can be searched in reasonable time.
const WORLDS: [(Age, Age, Age, usize); 5] =
    [(1, 1, 1, 3), (2, 1, 1, 3), (1, 2, 1, 2), (1, 1, 2, 2), (2, 1, 2, 2)];

/// Larger worlds, which take more time.
const LARGE: [(Age, Age, Age, usize); 6] =
    [(1, 1, 2, 3), (2, 1, 2, 3), (1, 2, 1, 3), (2, 2, 1, 3), (1, 1, 1, 4), (2, 1, 1, 4)];

const SIGNED_OUT: Failure = Failure::SignedOut(RefreshDecision::Reuse);

/// With the shortest rotation interval that the crate accepts.
fn model(crash: Age, window: Age, delay: Age) -> Model {
    Model::new(window, delay, window + 2 * delay + 1).with_crashes(crash)
}

#[test]
fn browser_that_crashes_is_never_signed_out() {
    for (crash, window, delay, in_flight) in WORLDS.into_iter().chain(large(LARGE)) {
        let model = model(crash, window, delay).with_in_flight(in_flight);
        assert!(Policy::new(*model.rules.timing()).is_ok(), "the crate accepts it");
        holds(&model);
    }
}

/// The bound `W + C + 2·D` is exact to one tick, for access tokens and for refresh tokens.
#[test]
fn time_to_a_confirmation_is_exact() {
    for (crash, window, delay, _) in WORLDS {
        for broken in [Broken::AccessConfirmsEarly, Broken::RefreshConfirmsEarly] {
            assert_eq!(fails(&model(crash, window, delay).breaking(broken)), SIGNED_OUT);
        }
    }
}

/// This is the protocol without a crash window.
#[test]
fn confirmation_by_the_first_request_signs_a_crashed_browser_out() {
    for (crash, window, delay, _) in WORLDS {
        let model = Model::new(window, delay, window + 2 * delay + 1);
        assert_eq!(fails(&Model { crash, ..model }.with_crash_window_of_the_rules(0)), SIGNED_OUT);
        for broken in [Broken::AccessConfirmsAtOnce, Broken::RefreshConfirmsAtOnce] {
            assert_eq!(fails(&self::model(crash, window, delay).breaking(broken)), SIGNED_OUT);
        }
    }
}

#[test]
fn too_short_a_crash_window_signs_a_browser_out() {
    for (crash, window, delay) in [(2, 1, 1), (3, 1, 1), (2, 1, 2)] {
        let model = model(crash, window, delay).with_crash_window_of_the_rules(crash - 1);
        assert_eq!(fails(&model), SIGNED_OUT);
    }
}

#[test]
fn unrecorded_replay_of_a_successor_signs_a_browser_out() {
    for (crash, window, delay, _) in WORLDS {
        assert_eq!(fails(&model(crash, window, delay).breaking(Broken::OfferNotRenewed)), SIGNED_OUT);
    }
}

/// Without late bodies, a confirmation comes so late that less can still arrive: `M > W + D - C` is
/// enough. See `late_body` for why the crate requires more.
#[test]
fn interval_could_be_shorter_without_late_bodies() {
    for (crash, window, delay, in_flight) in [(1, 1, 1, 3), (2, 2, 1, 2), (1, 2, 1, 2), (1, 1, 2, 2)] {
        let bound = window + delay - crash;
        let model =
            |interval| Model::new(window, delay, interval).with_crashes(crash).with_in_flight(in_flight);
        holds(&model(bound + 1));
        assert_eq!(fails(&model(bound)), SIGNED_OUT);
    }
}

#[test]
fn skew_late_confirmations_and_new_claims_sign_no_crashed_browser_out() {
    let skewed = Model::new(1, 1, 6).with_crashes(1).with_skew(1).with_in_flight(2);
    assert!(Policy::new(*skewed.rules.timing()).is_ok(), "the crate accepts it");
    holds(&skewed);
    holds(&Model { stepping_clocks: true, ..skewed });
    holds(&Model { late_notes: true, new_claims: true, ..model(1, 1, 1).with_in_flight(2) });
    if let [_, ..] = large([()])[..] {
        holds(&skewed.with_in_flight(3));
        holds(&Model { late_notes: true, new_claims: true, ..skewed });
        holds(&Model { late_notes: true, new_claims: true, ..model(1, 1, 1) });
    }
}

#[test]
fn token_client_that_crashes_is_never_signed_out() {
    for (crash, window, delay, in_flight) in [(1, 1, 1, 3), (2, 1, 1, 2), (1, 2, 1, 2), (1, 1, 2, 2)] {
        let model = Model { token_client: true, ..model(crash, window, delay).with_in_flight(in_flight) };
        holds(&model);
        holds(&Model { shared_reads: true, late_notes: true, latest_note: delay, ..model.with_in_flight(2) });
    }
}

#[test]
fn bounds_are_exact_for_token_clients_that_crash() {
    for broken in [
        Broken::AccessConfirmsEarly,
        Broken::RefreshConfirmsEarly,
        Broken::OfferNotRenewed,
        Broken::RefreshRewritten,
    ] {
        let model = Model { token_client: true, ..model(1, 1, 1).breaking(broken) };
        assert_eq!(fails(&model), SIGNED_OUT);
    }
}

/// It is served longer by the time to the confirmation, and not for a tick more.
#[test]
fn copy_is_refused_one_grace_after_a_confirmation() {
    for (crash, window, delay, in_flight) in [(1, 1, 1, 2), (2, 1, 1, 2)] {
        let model = Model { attacker: true, ..model(crash, window, delay).with_in_flight(in_flight) };
        let search = holds(&model);
        assert!(search.ended > 0, "attackers were detected");
        for broken in [Broken::PredecessorForever, Broken::GraceRestarts] {
            assert!(matches!(fails(&model.breaking(broken)), Failure::CopyServed(_)));
        }
    }
}

#[test]
fn dropped_state_makes_no_difference_to_a_browser_that_crashes() {
    let all = |model: Model| Model { remembers_all: true, ..model.with_in_flight(2) };
    holds(&all(model(1, 1, 1)));
    assert_eq!(fails(&all(model(1, 1, 1).breaking(Broken::AccessConfirmsEarly))), SIGNED_OUT);
}
