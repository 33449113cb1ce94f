//! Thousands of random browsers in real time.

use std::time::Duration;

use tower_sliding_sessions::protocol::{Policy, Timing};

use crate::{
    browser::{Ending, Setting, run},
    random::{SEED, seed},
    rules::{Broken, Rules},
};

const RUNS: u64 = 5_000;

const DELAY: Duration = Duration::from_secs(30);
const SKEW: Duration = Duration::from_secs(15);
const MOMENT: Duration = Duration::from_millis(1);

/// The defaults, the shortest interval that the crate accepts, and the shortest one within the proof.
fn policies() -> [Policy; 4] {
    let timing = Timing::default();
    assert_eq!(timing.grace, DELAY + SKEW, "the defaults leave room for that much");
    let shortest = timing.write_window + 2 * timing.grace + MOMENT;
    let proven = timing.write_window + 2 * DELAY + SKEW + MOMENT;
    [
        Policy::new(timing).expect("the defaults hold"),
        Policy::new(timing.rotation_interval(shortest)).expect("it is just above the bound"),
        Policy::dangerous_unchecked(timing.rotation_interval(proven)),
        Policy::new(timing.crash_window(Duration::ZERO).rotation_interval(shortest))
            .expect("it is just above the bound"),
    ]
}

fn setting(policy: Policy, attacker: bool) -> Setting {
    let timing = *policy.timing();
    // Two rotations must not fit into it.
    let late = timing.rotation_interval + timing.crash_window + timing.grace - MOMENT;
    Setting {
        rules: Rules { policy, broken: None },
        delay: DELAY,
        skew: SKEW,
        crash: timing.crash_window,
        late_body: (!timing.crash_window.is_zero()).then_some(late),
        token_client: false,
        attacker,
    }
}

/// Runs them all, and counts how they end.
fn all_end_well(setting: &Setting) -> impl Fn(Ending) -> usize + use<> {
    let seed = seed();
    let endings: Vec<Ending> = (0..RUNS)
        .map(|number| {
            let seed = seed.wrapping_add(number);
            run(setting, seed, false).unwrap_or_else(|failure| {
                // Once more, with output.
                let _ = run(setting, seed, true);
                panic!("{failure}; {SEED}={seed} shows it at once");
            })
        })
        .collect();
    move |ending| endings.iter().filter(|other| **other == ending).count()
}

#[test]
fn random_browsers_stay_signed_in_until_a_timeout() {
    for policy in policies() {
        let count = all_end_well(&setting(policy, false));
        println!("  {} still signed in, {} expired", count(Ending::StillSignedIn), count(Ending::Expired));
        assert_eq!(count(Ending::Detected), 0, "there is no attacker to detect");
        assert!(count(Ending::StillSignedIn) > 0 && count(Ending::Expired) > 0, "both must occur");
    }
}

#[test]
fn random_token_clients_stay_signed_in_until_a_timeout() {
    for policy in policies() {
        let count = all_end_well(&Setting { token_client: true, late_body: None, ..setting(policy, false) });
        println!("  {} still signed in, {} expired", count(Ending::StillSignedIn), count(Ending::Expired));
        assert!(count(Ending::StillSignedIn) > 0 && count(Ending::Expired) > 0, "both must occur");
    }
}

#[test]
fn random_attackers_are_refused_after_one_grace() {
    for policy in policies() {
        let count = all_end_well(&setting(policy, true));
        println!("  {} detected", count(Ending::Detected));
        assert!(count(Ending::Detected) > 0, "some must be detected");
    }
}

/// As in the small worlds: this shows that the test can fail.
#[test]
fn random_browsers_detect_each_broken_rule() {
    let [_, crashes, _, policy] = policies();
    let legitimate = setting(policy, false);
    let token_client = Setting { token_client: true, ..legitimate };
    let attacker = setting(policy, true);
    let crashing = setting(crashes, false);
    for (broken, setting) in [
        (Broken::AccessConfirmsAtOnce, crashing),
        (Broken::RefreshConfirmsAtOnce, crashing),
        (Broken::OfferNotRenewed, crashing),
        (Broken::LateBodyIsReuse, crashing),
        (Broken::NoWriteWindow, legitimate),
        (Broken::GraceFromRotation, legitimate),
        (Broken::IntervalFromRotation, legitimate),
        (Broken::RefreshRewritten, legitimate),
        (Broken::NoGrace, legitimate),
        (Broken::AccessAlone, legitimate),
        (Broken::RefreshRewritten, token_client),
        (Broken::RepeatedWithoutGrace, token_client),
        (Broken::PredecessorForever, attacker),
        (Broken::GraceRestarts, attacker),
    ] {
        let rules = Rules { broken: Some(broken), ..setting.rules };
        let setting = Setting { rules, ..setting };
        // Independent of PROOF_SEED, which is for the study of one failure.
        let found = (1..=RUNS).find_map(|seed| Some((seed, run(&setting, seed, false).err()?)));
        let (runs, failure) = found.expect("one of the runs must fail");
        println!("{broken:?}: {failure}, after {runs} runs");
    }
}
