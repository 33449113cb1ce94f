//! An attacker who copies the jar and renews independently is detected.
//!
//! Both the attacker and the legitimate browser renew. One of them gets a successor first. After its
//! confirmation, the other one's token is valid for one more grace period. A later renewal with it
//! revokes the session, for both. A copy that is never presented signs no client out.

use tower_sliding_sessions::protocol::RefreshDecision;

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds},
    step::Failure,
    world::Age,
};

fn with_an_attacker(window: Age, delay: Age, skew: Age) -> Model {
    let model = Model::new(window, delay, window + 2 * delay + skew + 1).with_skew(skew);
    Model { attacker: true, ..model }
}

#[test]
fn copy_is_refused_one_grace_after_its_successor_was_confirmed() {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (2, 2, 0), (1, 1, 1), (2, 1, 1)] {
        let search = holds(&with_an_attacker(window, delay, skew));
        assert!(search.ended > 0, "attackers were detected");
        println!("  in {} of them the attacker was detected", search.ended);
    }
}

#[test]
fn late_confirmations_do_not_extend_the_life_of_a_copy() {
    for (window, delay) in [(1, 1), (2, 1)] {
        holds(&Model { late_notes: true, ..with_an_attacker(window, delay, 0) });
    }
}

#[test]
fn dropped_state_makes_no_difference_to_an_attacker() {
    holds(&Model { remembers_all: true, ..with_an_attacker(1, 1, 0).with_in_flight(2) });
}

/// Legitimate clients never notice this broken rule, nor the next.
#[test]
fn predecessor_that_stays_valid_hides_an_attacker() {
    let broken = with_an_attacker(1, 1, 0).breaking(Broken::PredecessorForever);
    holds(&Model { attacker: false, ..broken });
    assert_eq!(fails(&broken), Failure::CopyServed(RefreshDecision::ServePredecessor));
}

#[test]
fn grace_that_restarts_with_every_use_hides_an_attacker() {
    let broken = with_an_attacker(1, 1, 0).breaking(Broken::GraceRestarts);
    holds(&Model { attacker: false, ..broken });
    assert_eq!(fails(&broken), Failure::CopyServed(RefreshDecision::ServePredecessor));
}
