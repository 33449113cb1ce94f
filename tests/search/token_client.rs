//! Clients that keep their tokens themselves get a refresh token in as many responses as possible, and
//! are never signed out by that.
//!
//! `exchange` decides which tokens they get, by the record as it was read when the request arrived, or by
//! a read for another request just before. The record may be unconfirmed although an instance has served
//! a request with the generation and has not written that yet. It must be written within `D`.

use tower_sliding_sessions::protocol::{Policy, RefreshDecision};

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds},
    step::Failure,
    world::Age,
};

/// `W`, `D`, `S`, and the number of messages in flight.
const WORLDS: [(Age, Age, Age, usize); 10] = [
    (1, 1, 0, 5),
    (2, 1, 0, 4),
    (1, 2, 0, 4),
    (3, 1, 0, 4),
    (2, 2, 0, 4),
    (1, 3, 0, 3),
    (3, 3, 0, 3),
    (1, 1, 1, 4),
    (2, 1, 1, 3),
    (1, 2, 1, 3),
];

const SIGNED_OUT: Failure = Failure::SignedOut(RefreshDecision::Reuse);

/// With the shortest interval within the proof, or one that is `longer` by that much.
fn model(window: Age, delay: Age, skew: Age, longer: Age) -> Model {
    let model = Model::new(window, delay, window + 2 * delay + skew + 1 + longer).with_skew(skew);
    Model { token_client: true, ..model }
}

/// The same with confirmations that are written late, but within `D`.
fn with_late_notes(model: Model) -> Model {
    Model { late_notes: true, latest_note: model.delay, ..model }
}

/// And with requests that share the read of another one.
fn with_shared_renewals(model: Model) -> Model {
    Model { shared_reads: true, ..with_late_notes(model) }
}

/// And with clocks that step during a handler, which adds their difference twice: see `bound`.
fn with_stepping_clocks(window: Age, delay: Age, skew: Age) -> Model {
    Model { stepping_clocks: true, ..with_shared_renewals(model(window, delay, skew, skew)) }
}

#[test]
fn token_client_is_never_signed_out_within_the_bound() {
    for (window, delay, skew, in_flight) in WORLDS {
        holds(&model(window, delay, skew, 0).with_in_flight(in_flight));
    }
}

#[test]
fn longer_interval_is_as_safe() {
    for (window, delay, skew, _) in WORLDS {
        holds(&model(window, delay, skew, 2));
    }
}

#[test]
fn late_confirmations_and_shared_reads_sign_no_token_client_out() {
    for (window, delay, skew, _) in WORLDS {
        holds(&with_shared_renewals(model(window, delay, skew, 0)));
    }
}

#[test]
fn clock_steps_during_a_request_sign_no_token_client_out() {
    for (window, delay, skew) in [(1, 1, 1), (2, 1, 1), (1, 2, 1)] {
        let model = with_stepping_clocks(window, delay, skew);
        assert!(Policy::new(*model.rules.timing()).is_ok(), "the crate accepts it");
        holds(&model);
    }
}

#[test]
fn bound_is_exact_for_token_clients() {
    for (window, delay, skew, _) in WORLDS {
        let interval = window + 2 * delay + skew;
        let model = Model::new(window, delay, interval).with_skew(skew);
        assert_eq!(fails(&Model { token_client: true, ..model }), SIGNED_OUT);
    }
}

/// Each way to repeat it more often signs legitimate clients out.
fn is_too_often(broken: Broken) {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1)] {
        for longer in [0, 2] {
            assert_eq!(fails(&model(window, delay, skew, longer).breaking(broken)), SIGNED_OUT);
        }
    }
}

#[test]
fn repeating_the_refresh_token_always_signs_a_token_client_out() {
    is_too_often(Broken::RefreshRewritten);
}

#[test]
fn repeating_the_refresh_token_at_the_bound_signs_a_token_client_out() {
    is_too_often(Broken::RepeatedAtTheBound);
}

#[test]
fn repeating_the_refresh_token_without_a_grace_signs_a_token_client_out() {
    is_too_often(Broken::RepeatedWithoutGrace);
}

#[test]
fn taking_unconfirmed_for_unused_signs_a_token_client_out() {
    for (window, delay) in [(1, 1), (2, 1), (1, 2)] {
        let model = with_shared_renewals(model(window, delay, 0, 0));
        assert_eq!(fails(&model.breaking(Broken::RepeatedAsIfUnseen)), SIGNED_OUT);
    }
}

#[test]
fn later_confirmations_sign_a_token_client_out() {
    let plain = |window, delay| with_late_notes(model(window, delay, 0, 0));
    for model in [plain(1, 1), plain(2, 1), plain(1, 2), with_stepping_clocks(1, 1, 1)] {
        assert_eq!(fails(&Model { latest_note: model.latest_note + 1, ..model }), SIGNED_OUT);
    }
}

/// An attacker who gets such responses is detected as any other.
#[test]
fn copied_tokens_of_a_token_client_are_refused_after_one_grace() {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0)] {
        let search = holds(&Model { attacker: true, ..model(window, delay, skew, 0) });
        assert!(search.ended > 0, "attackers were detected");
    }
}

#[test]
fn dropped_state_makes_no_difference_to_a_token_client() {
    let all = Model { remembers_all: true, ..with_shared_renewals(model(1, 1, 0, 0)) };
    holds(&all.with_in_flight(2));
    let plain = Model { remembers_all: true, ..model(1, 1, 0, 0) };
    holds(&plain);
    assert_eq!(fails(&plain.breaking(Broken::RepeatedAtTheBound)), SIGNED_OUT);
}
