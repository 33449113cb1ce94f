//! an attacker who copies the jar and goes his own way is found out.
//!
//! Say that both he and his victim renew, apart from each other. One of them is the first to get a
//! successor. Once that was seen in use, the other one's token is good for one more grace. If he
//! renews later than that, then the session ends, for both and for good. And nobody is ever signed
//! out on account of a copy that was not presented.

use tower_sliding_sessions::protocol::Rotation;

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds},
    step::Failure,
    world::Age,
};

fn with_a_attacker(window: Age, delay: Age, skew: Age) -> Model {
    let model = Model::new(window, delay, window + 2 * delay + skew + 1).with_skew(skew);
    Model { attacker: true, ..model }
}

#[test]
fn a_copy_is_not_served_once_its_successor_has_been_in_use_for_a_grace() {
    for (window, delay, skew) in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (2, 2, 0), (1, 1, 1), (2, 1, 1)] {
        let search = holds(&with_a_attacker(window, delay, skew));
        assert!(search.ended > 0, "attackers were found out");
        println!("  in {} of them the attacker was found out", search.ended);
    }
}

#[test]
fn late_confirmations_do_not_keep_a_copy_alive_for_longer() {
    for (window, delay) in [(1, 1), (2, 1)] {
        holds(&Model { late_notes: true, ..with_a_attacker(window, delay, 0) });
    }
}

#[test]
fn nothing_that_worlds_forget_would_help_a_attacker() {
    holds(&Model { remembers_all: true, ..with_a_attacker(1, 1, 0).with_in_flight(2) });
}

/// Legitimate people would never notice this one, nor the next.
#[test]
fn a_predecessor_that_stays_good_hides_a_attacker() {
    let broken = with_a_attacker(1, 1, 0).breaking(Broken::PredecessorForever);
    holds(&Model { attacker: false, ..broken });
    assert_eq!(fails(&broken), Failure::CopyServed(Rotation::Replay));
}

#[test]
fn a_grace_that_starts_anew_with_every_use_hides_a_attacker() {
    let broken = with_a_attacker(1, 1, 0).breaking(Broken::GraceRestarts);
    holds(&Model { attacker: false, ..broken });
    assert_eq!(fails(&broken), Failure::CopyServed(Rotation::Replay));
}
