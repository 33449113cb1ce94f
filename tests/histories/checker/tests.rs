//! Each rule, on histories of a few operations.

use std::time::Duration;

use tower_sliding_sessions::{RunId, SessionId};

use super::{Rule, check};
use crate::{
    assumptions,
    history::{Answer, Fault, From, Op, Record, Request, Revocation, Time, Token, What},
};

const ANN: Token = token(1, 0);

const fn token(session: u8, generation: u64) -> Token {
    Token { session: SessionId::from_bytes([session; 32]), generation, run: run(1) }
}

const fn run(number: u64) -> RunId {
    RunId::from_u64(number).expect("it is not zero")
}

const fn at(millis: u64) -> Time {
    Duration::from_millis(millis)
}

fn op(process: usize, from: u64, to: u64, what: What) -> Op {
    Op { process, invoked: at(from), done: Some(at(to)), what }
}

fn answer(token: Token) -> Answer {
    let record = Record { generation: token.generation, revoked: false };
    Answer { run: token.run, applied: false, record: Some(record) }
}

fn call(process: usize, time: u64, call: &'static str, session: SessionId, answer: Answer) -> Op {
    op(process, time, time + 10, What::Store { session, call, answer: Some(answer) })
}

/// The user's number is the session's.
fn sign_in(process: usize, time: u64, token: Token) -> [Op; 2] {
    let user = usize::from(token.session.as_bytes()[0]);
    [
        op(process, time, time + 20, What::SignIn { user, minted: Some(token) }),
        call(process, time, "create", token.session, answer(token)),
    ]
}

fn request(process: usize, time: u64, from: From, carried: Token, status: u16, minted: Option<Token>) -> Op {
    let answered = Some((at(time + 20), status));
    let request = Request { from, carried, arrived: at(time), answered, minted };
    op(process, time, time + 20, What::Request(request))
}

fn visit(process: usize, time: u64, carried: Token, status: u16) -> Op {
    request(process, time, From::Client, carried, status, None)
}

fn sign_out(process: usize, time: u64, acknowledged: bool) -> Op {
    op(process, time, time + 20, What::SignOut(Revocation { session: ANN.session, acknowledged }))
}

fn fault(process: usize, from: u64, to: u64, fault: Fault) -> Op {
    op(process, from, to, What::Fault(fault))
}

fn broken(history: &[Op]) -> Vec<Rule> {
    check(history, &assumptions()).into_iter().map(|violation| violation.rule).collect()
}

/// What breaks after Ann has signed in at process 0 at the time 0.
fn after_sign_in(rest: impl IntoIterator<Item = Op>) -> Vec<Rule> {
    let history: Vec<_> = sign_in(0, 0, ANN).into_iter().chain(rest).collect();
    broken(&history)
}

#[test]
fn history_in_which_nothing_goes_wrong_breaks_no_rule() {
    let renewed = request(1, 5000, From::Client, ANN, 200, Some(token(1, 1)));
    let rotation = Answer { applied: true, ..answer(token(1, 1)) };
    let history = [
        visit(2, 1000, ANN, 200),
        call(1, 5000, "advance", ANN.session, rotation),
        renewed,
        sign_out(0, 6000, true),
        visit(0, 6100, token(1, 1), 401),
        visit(1, 7000, token(1, 1), 200),
        visit(1, 9000, token(1, 1), 401),
    ];
    assert_eq!(after_sign_in(history), []);
}

#[test]
fn revoked_session_is_served_by_the_instance_that_acknowledged_it() {
    let served = |time| after_sign_in([sign_out(0, 1000, true), visit(0, time, ANN, 200)]);
    assert_eq!(served(1010), [], "before it was acknowledged");
    assert_eq!(served(1021), [Rule::RevokedSessionIsNotServed]);
    let unacknowledged = [sign_out(0, 1000, false), visit(0, 2000, ANN, 200)];
    assert_eq!(after_sign_in(unacknowledged), []);
}

#[test]
fn revoked_session_is_served_after_the_lag_of_the_feed() {
    let served = |time| after_sign_in([sign_out(0, 1000, true), visit(1, time, ANN, 200)]);
    assert_eq!(served(2500), []);
    assert_eq!(served(2521), [Rule::RevokedSessionIsNotServed]);
}

#[test]
fn outage_of_an_instance_extends_the_bound_for_that_instance_only() {
    let served = |place: usize, at_process: usize, time| {
        let cut = fault(place, 900, 6000, Fault::Cut);
        after_sign_in([cut, sign_out(0, 1000, true), visit(at_process, time, ANN, 200)])
    };
    assert_eq!(served(1, 1, 3100), [], "it asks when the feed lags");
    assert_eq!(served(1, 1, 3200), [Rule::RevokedSessionIsNotServed]);
    assert_eq!(served(1, 4, 3100), [], "the next process in the same place");
    assert_eq!(served(2, 2, 6200), [], "it accepts the access token until it expires, and rides through");
    assert_eq!(served(2, 2, 6300), [Rule::RevokedSessionIsNotServed]);
    assert_eq!(served(2, 1, 3100), [Rule::RevokedSessionIsNotServed]);
    assert_eq!(served(usize::MAX, 1, 3100), [], "the server failed for all");
}

#[test]
fn clock_step_does_not_extend_the_bound() {
    let leap = fault(1, 900, 6000, Fault::ClockLeap);
    let history = [leap, sign_out(0, 1000, true), visit(1, 3000, ANN, 200)];
    assert_eq!(after_sign_in(history), [Rule::RevokedSessionIsNotServed]);
}

#[test]
fn emergency_stop_covers_older_run_ids_and_revoke_all_earlier_sessions() {
    let stop = op(0, 1000, 1020, What::Stop(Some(run(2))));
    assert_eq!(after_sign_in([stop.clone(), visit(0, 1100, ANN, 200)]), [Rule::RevokedSessionIsNotServed]);
    let newer = Token { run: run(2), ..token(2, 0) };
    let later: Vec<_> = [stop].into_iter().chain(sign_in(0, 1030, newer)).collect();
    assert_eq!(after_sign_in(later.into_iter().chain([visit(0, 1100, newer, 200)])), []);
    let revoke_all = op(0, 1000, 1020, What::RevokeAll { user: 1, acknowledged: true });
    let served = [revoke_all.clone(), visit(0, 1100, ANN, 200)];
    assert_eq!(after_sign_in(served), [Rule::RevokedSessionIsNotServed]);
    let other =
        [op(0, 1000, 1020, What::RevokeAll { user: 2, acknowledged: true }), visit(0, 1100, ANN, 200)];
    assert_eq!(after_sign_in(other), []);
    // The session began while the call was on its way.
    let during: Vec<_> = [revoke_all].into_iter().chain(sign_in(0, 1005, ANN)).collect();
    assert_eq!(broken(&[during, vec![visit(0, 1100, ANN, 200)]].concat()), []);
}

#[test]
fn store_forgets_what_it_acknowledged() {
    let read = |time, answer| call(1, time, "get", ANN.session, answer);
    let revoked = |time, answer| after_sign_in([sign_out(0, 1000, true), read(time, answer)]);
    assert_eq!(revoked(1010, answer(ANN)), [], "asked before the acknowledgement");
    assert_eq!(revoked(1030, answer(ANN)), [Rule::AcknowledgedRevocationIsReadBack]);
    let gone = Record { generation: 0, revoked: true };
    assert_eq!(revoked(1030, Answer { record: Some(gone), ..answer(ANN) }), []);
    assert_eq!(revoked(1030, Answer { record: None, ..answer(ANN) }), []);
    let lost = fault(usize::MAX, 1100, 1200, Fault::DataLost);
    assert_eq!(after_sign_in([sign_out(0, 1000, true), lost, read(1300, answer(ANN))]), []);

    let stop = op(0, 1000, 1020, What::Stop(Some(run(2))));
    let missing = Answer { record: None, ..answer(ANN) };
    assert_eq!(after_sign_in([stop, read(1030, missing)]), [Rule::AcknowledgedRunIdIsKept]);

    let rotated = call(0, 1000, "advance", ANN.session, Answer { applied: true, ..answer(token(1, 1)) });
    assert_eq!(after_sign_in([rotated.clone(), read(1005, answer(ANN))]), [], "at the same time");
    assert_eq!(after_sign_in([rotated, read(1030, answer(ANN))]), [Rule::AcknowledgedRotationIsKept]);
}

#[test]
fn failover_that_loses_a_revocation_is_repaired() {
    let stale = fault(usize::MAX, 900, 2500, Fault::StaleFailover);
    let after = |op| after_sign_in([stale.clone(), sign_out(0, 1000, true), op]);
    let read = |time| call(1, time, "get", ANN.session, answer(ANN));
    assert_eq!(after(read(10_000)), []);
    assert_eq!(after(read(11_000)), [Rule::AcknowledgedRevocationIsReadBack]);
    assert_eq!(after(visit(1, 14_000, ANN, 200)), []);
    assert_eq!(after(visit(1, 15_000, ANN, 200)), [Rule::RevokedSessionIsNotServed]);
    assert_eq!(after(visit(0, 1100, ANN, 200)), [Rule::RevokedSessionIsNotServed], "it knows it");
    assert_eq!(after_sign_in([stale, visit(1, 3000, ANN, 401)]), [], "its sign-in may be lost");
}

#[test]
fn two_rotations_from_one_generation_apply() {
    let rotated = |process, time| {
        call(process, time, "advance", ANN.session, Answer { applied: true, ..answer(token(1, 1)) })
    };
    assert_eq!(after_sign_in([rotated(0, 1000), rotated(1, 1000)]), [Rule::OneSuccessorPerGeneration]);
    let read = call(1, 1000, "advance", ANN.session, answer(token(1, 1)));
    assert_eq!(after_sign_in([rotated(0, 1000), read]), []);
}

#[test]
fn legitimate_client_is_signed_out_without_a_reason() {
    let refused = |before: Vec<Op>| after_sign_in(before.into_iter().chain([visit(1, 9000, ANN, 401)]));
    assert_eq!(refused(vec![]), [Rule::LegitimateClientStaysSignedIn]);
    assert_eq!(refused(vec![visit(1, 8000, ANN, 503)]), [Rule::LegitimateClientStaysSignedIn]);
    assert_eq!(refused(vec![sign_out(0, 1000, false)]), [], "it may have taken effect");
    assert_eq!(refused(vec![op(0, 1000, 1500, What::Stop(None))]), []);
    assert_eq!(refused(vec![request(0, 1000, From::Copy, ANN, 401, None)]), [], "a copy was used");
    assert_eq!(refused(vec![fault(2, 1000, 3000, Fault::ClockLeap)]), [], "a clock was an hour off");
    assert_eq!(refused(vec![fault(2, 1000, 3000, Fault::ClockStep)]), [Rule::LegitimateClientStaysSignedIn]);
    assert_eq!(refused(vec![fault(usize::MAX, 1000, 3000, Fault::DataLost)]), []);
    let mut late = visit(1, 5000, ANN, 200);
    late.invoked = at(4000);
    assert_eq!(refused(vec![late]), [], "a request was on its way for a second");
}

#[test]
fn reuse_is_reported_although_no_copy_was_used() {
    let reuse = op(1, 5000, 5000, What::Reuse { tag: ANN.session.tag() });
    assert_eq!(after_sign_in([reuse.clone()]), [Rule::LegitimateClientStaysSignedIn]);
    assert_eq!(after_sign_in([request(0, 4000, From::Copy, ANN, 401, None), reuse]), []);
}

#[test]
fn superseded_copy_is_served() {
    let used = |generation| {
        let newer = call(0, 1000, "advance", ANN.session, answer(token(1, generation)));
        after_sign_in([newer, request(1, 2000, From::Copy, ANN, 200, None)])
    };
    assert_eq!(used(1), []);
    assert_eq!(used(2), [Rule::SupersededTokenIsRefused]);
}

#[test]
fn cookies_are_set_without_an_answer_of_the_store() {
    let minted = |before: Op| after_sign_in([before, request(1, 2000, From::Client, ANN, 200, Some(ANN))]);
    let read = |process, time, answer| call(process, time, "advance", ANN.session, answer);
    assert_eq!(minted(read(1, 2000, answer(ANN))), []);
    assert_eq!(minted(read(1, 1600, answer(ANN))), [], "a renewal that was shared");
    let rule = [Rule::NoMintWithoutTheStore];
    assert_eq!(minted(read(1, 1400, answer(ANN))), rule, "too old");
    assert_eq!(minted(read(0, 2000, answer(ANN))), rule, "of another instance");
    assert_eq!(minted(read(1, 2020, answer(ANN))), rule, "after the response");
    assert_eq!(minted(read(1, 2000, Answer { record: None, ..answer(ANN) })), rule);
    let revoked = Record { generation: 0, revoked: true };
    assert_eq!(minted(read(1, 2000, Answer { record: Some(revoked), ..answer(ANN) })), rule);
    assert_eq!(minted(read(1, 2000, Answer { run: run(2), ..answer(ANN) })), rule);
}

#[test]
fn cookies_are_set_for_an_older_run_id_than_the_instance_knew() {
    let other = token(2, 0);
    let known = call(1, 1000, "get", other.session, Answer { run: run(2), ..answer(other) });
    let read = call(1, 2000, "advance", ANN.session, answer(ANN));
    let minted = request(1, 2000, From::Client, ANN, 200, Some(ANN));
    assert_eq!(after_sign_in([known, read, minted]), [Rule::NoMintWithoutTheStore]);
}

#[test]
fn instance_does_not_recover() {
    assert_eq!(broken(&[op(1, 0, 9000, What::Recovered(true))]), []);
    assert_eq!(broken(&[op(1, 0, 9000, What::Recovered(false))]), [Rule::InstancesRecover]);
}

#[test]
fn violations_of_the_fewest_operations_come_first() {
    let history = [sign_out(0, 1000, true), visit(0, 1100, ANN, 200), op(1, 0, 9000, What::Recovered(false))];
    assert_eq!(after_sign_in(history), [Rule::InstancesRecover, Rule::RevokedSessionIsNotServed]);
}
