//! A Chromium that is killed restarts with cookies that are up to half a minute old, since it writes them
//! to disk that often. It must stay signed in, without an alarm.
//!
//! Needs `chromium`, which `tests/servers/chromium` installs. Each try has its own browser, profile and
//! server: sign in, let the page poll through rotations, kill the browser with SIGKILL at a random time,
//! start it again with the same profile. Every second try starts it one hour later by the server's clock.
//! `KILLS` is the number of tries, `KILLS_AT_ONCE` how many run in parallel, `SEED` repeats the times of
//! a run.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod browser;
#[path = "../support/device_bound.rs"]
mod device_bound;
mod site;

use std::time::Duration;

use self::{browser::Profile, site::Site};

/// The least time between two rotations of one session with the settings of `site`: the crash window of
/// 35 s, the write window and two grace periods of 1 s each, and the rotation interval.
const ROTATION_CYCLE: Duration = Duration::from_secs(46);

const HOUR: Duration = Duration::from_secs(60 * 60);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// SplitMix64: the time differs from try to try, and `SEED` repeats it.
fn moment(seed: u64, number: u64) -> Duration {
    let mut bits = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let range = u64::try_from(ROTATION_CYCLE.as_millis()).expect("less than an hour");
    Duration::from_millis((bits ^ (bits >> 31)) % range)
}

async fn killed_at(moment: Duration, hour_later: bool) -> usize {
    let site = Site::start().await;
    let profile = Profile::new();
    let mut browser = profile.open(&site.at("/page#sign-in"));
    // A browser that is killed before its first write restarts without a session.
    profile.holds("__Host-refresh").await;
    tokio::time::sleep(moment).await;
    browser.kill();
    let rotations = site.rotations();

    if hour_later {
        site.pass(HOUR);
    }
    browser = profile.open(&site.at("/page"));
    site.answers(5).await;
    site.pass(HOUR);
    site.answers(5).await;
    browser.kill();
    assert_eq!(site.refused(), 0, "killed after {moment:?}, an hour later: {hour_later}");
    assert_eq!(site.alarms(), 0, "killed after {moment:?}, an hour later: {hour_later}");
    rotations
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_killed_around_a_rotation_stays_signed_in() {
    let fresh = u64::from(std::process::id());
    let (kills, at_once, seed) = (setting("KILLS", 4), setting("KILLS_AT_ONCE", 4), setting("SEED", fresh));
    println!("{kills} kills, {at_once} at once, SEED={seed}");
    let mut tries = tokio::task::JoinSet::new();
    let (mut next, mut done, mut failed, mut rotations) = (0, 0, 0, 0);
    while done < kills {
        while next < kills && tries.len() < usize::try_from(at_once).expect("a small number") {
            tries.spawn(killed_at(moment(seed, next), next % 2 == 1));
            next += 1;
        }
        match tries.join_next().await.expect("a try") {
            Ok(seen) => rotations += seen,
            Err(error) => {
                println!("{error}");
                failed += 1;
            }
        }
        done += 1;
    }
    println!("{kills} kills, {rotations} rotations before them: {failed} signed out or alarmed");
    assert_eq!(failed, 0);
}
