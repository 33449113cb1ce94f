//! Each rule is needed: without any one of them a legitimate browser is signed out, in worlds where the
//! whole protocol never signs one out.

use tower_sliding_sessions::protocol::RefreshDecision;

use crate::{
    model::Model,
    rules::Broken,
    search::{fails, holds},
    step::Failure,
};

fn signs_legitimate_clients_out(broken: Broken) {
    for (window, delay) in [(1, 1), (2, 1), (1, 2)] {
        let whole = Model::new(window, delay, window + 2 * delay + 1);
        holds(&whole);
        assert_eq!(fails(&whole.breaking(broken)), Failure::SignedOut(RefreshDecision::Reuse));
    }
}

#[test]
fn without_a_write_window_a_legitimate_client_is_signed_out() {
    signs_legitimate_clients_out(Broken::NoWriteWindow);
}

#[test]
fn with_a_grace_counted_from_the_rotation_a_legitimate_client_is_signed_out() {
    signs_legitimate_clients_out(Broken::GraceFromRotation);
}

#[test]
fn with_an_interval_counted_from_the_rotation_a_legitimate_client_is_signed_out() {
    signs_legitimate_clients_out(Broken::IntervalFromRotation);
}

#[test]
fn with_an_unchanged_refresh_cookie_written_again_a_legitimate_client_is_signed_out() {
    signs_legitimate_clients_out(Broken::RefreshRewritten);
}

#[test]
fn without_a_grace_a_legitimate_client_is_signed_out() {
    signs_legitimate_clients_out(Broken::NoGrace);
}

#[test]
fn with_an_access_token_sent_without_its_refresh_token_a_legitimate_client_is_signed_out() {
    signs_legitimate_clients_out(Broken::AccessAlone);
}
