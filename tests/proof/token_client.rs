//! Clients that keep their tokens themselves are answered with a refresh token as often as can be,
//! and are never signed out for it.
//!
//! What they are answered with is decided by `exchange`, with the record as it was read when the
//! request arrived, or by another request just before. It may say "not confirmed" although an instance
//! has seen the generation in use and is yet to write that down, which must happen within `D`.

use tower_sliding_sessions::protocol::{Policy, Rotation};

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds},
    step::Failure,
    world::Age,
};

/// `W`, `D`, `S`, and how many messages at a time.
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

const SIGNED_OUT: Failure = Failure::SignedOut(Rotation::Reuse);

/// With the shortest interval that is proven, or one `longer` than that.
fn model(window: Age, delay: Age, skew: Age, longer: Age) -> Model {
    let model = Model::new(window, delay, window + 2 * delay + skew + 1 + longer).with_skew(skew);
    Model { token_client: true, ..model }
}

/// The same where confirmations are written down late, but within `D`.
fn with_late_notes(model: Model) -> Model {
    Model { late_notes: true, latest_note: model.delay, ..model }
}

/// And where a request may share what was read for another one.
fn with_shared_flights(model: Model) -> Model {
    Model { shared_flights: true, ..with_late_notes(model) }
}

/// And where clocks may step while a handler runs, which costs their difference twice: see `bound`.
fn with_stepping_clocks(window: Age, delay: Age, skew: Age) -> Model {
    Model { stepping_clocks: true, ..with_shared_flights(model(window, delay, skew, skew)) }
}

#[test]
fn a_token_client_is_never_signed_out_within_the_bound() {
    for (window, delay, skew, in_flight) in WORLDS {
        holds(&model(window, delay, skew, 0).with_in_flight(in_flight));
    }
}

#[test]
fn a_longer_interval_is_as_safe() {
    for (window, delay, skew, _) in WORLDS {
        holds(&model(window, delay, skew, 2));
    }
}

#[test]
fn late_confirmations_and_shared_flights_sign_no_token_client_out() {
    for (window, delay, skew, _) in WORLDS {
        holds(&with_shared_flights(model(window, delay, skew, 0)));
    }
}

#[test]
fn clocks_that_step_while_a_token_client_waits_do_not_sign_it_out() {
    for (window, delay, skew) in [(1, 1, 1), (2, 1, 1), (1, 2, 1)] {
        let model = with_stepping_clocks(window, delay, skew);
        assert!(Policy::new(*model.rules.timing()).is_ok(), "the crate accepts it");
        holds(&model);
    }
}

#[test]
fn the_bound_is_as_exact_for_token_clients() {
    for (window, delay, skew, _) in WORLDS {
        let interval = window + 2 * delay + skew;
        let model = Model::new(window, delay, interval).with_skew(skew);
        assert_eq!(fails(&Model { token_client: true, ..model }), SIGNED_OUT);
    }
}

/// Each way of repeating it more often signs legitimate clients out.
fn is_too_often(broken: Broken) {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1)] {
        for longer in [0, 2] {
            assert_eq!(fails(&model(window, delay, skew, longer).breaking(broken)), SIGNED_OUT);
        }
    }
}

#[test]
fn repeating_the_refresh_token_always_signs_token_clients_out() {
    is_too_often(Broken::RefreshRewritten);
}

#[test]
fn repeating_the_refresh_token_at_the_bound_signs_token_clients_out() {
    is_too_often(Broken::RepeatedAtTheBound);
}

#[test]
fn repeating_the_refresh_token_without_a_grace_signs_token_clients_out() {
    is_too_often(Broken::RepeatedWithoutGrace);
}

#[test]
fn taking_unconfirmed_for_unseen_signs_token_clients_out() {
    for (window, delay) in [(1, 1), (2, 1), (1, 2)] {
        let model = with_shared_flights(model(window, delay, 0, 0));
        assert_eq!(fails(&model.breaking(Broken::RepeatedAsIfUnseen)), SIGNED_OUT);
    }
}

#[test]
fn confirmations_that_are_any_later_sign_token_clients_out() {
    let plain = |window, delay| with_late_notes(model(window, delay, 0, 0));
    for model in [plain(1, 1), plain(2, 1), plain(1, 2), with_stepping_clocks(1, 1, 1)] {
        assert_eq!(fails(&Model { latest_note: model.latest_note + 1, ..model }), SIGNED_OUT);
    }
}

/// an attacker who is answered like that is found out as soon as any.
#[test]
fn a_copy_of_a_token_clients_tokens_is_not_served_for_longer_than_a_grace() {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0)] {
        let search = holds(&Model { attacker: true, ..model(window, delay, skew, 0) });
        assert!(search.ended > 0, "attackers were found out");
    }
}

#[test]
fn nothing_that_worlds_forget_would_help_or_harm_a_token_client() {
    let all = Model { remembers_all: true, ..with_shared_flights(model(1, 1, 0, 0)) };
    holds(&all.with_in_flight(2));
    let plain = Model { remembers_all: true, ..model(1, 1, 0, 0) };
    holds(&plain);
    assert_eq!(fails(&plain.breaking(Broken::RepeatedAtTheBound)), SIGNED_OUT);
}
