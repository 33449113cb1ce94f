//! Responses to a registration that are lost.

use std::time::Duration;

use crate::{
    ACCESS_TTL, Profile, pass,
    site::{Site, fetch},
};

async fn stays_signed_in(site: &Site, browser: &crate::driver::Browser) {
    for _ in 0..3 {
        assert_eq!(fetch(browser, "/me").await, 200);
        pass(ACCESS_TTL * 2 / 3).await;
    }
    assert_eq!(fetch(browser, "/me").await, 200);
    site.never_signed_out();
}

/// Chromium sends it three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_whose_registration_got_no_response_works_without_a_key() {
    let site = Site::start().await;
    site.switches.lost_registrations.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let browser = Profile::new().open().await;
    site.sign_in(&browser).await;
    stays_signed_in(&site, &browser).await;
    assert_eq!(site.refreshes(), 0);

    // A later page offers a registration again, and that one is answered.
    site.switches.lost_registrations.store(0, std::sync::atomic::Ordering::SeqCst);
    let mut tries = 0;
    while site.refreshes() == 0 {
        assert!(tries < 40, "not bound within 20 s; seen {:#?}", site.seen());
        tries += 1;
        browser.open(&site.at("/page")).await;
        pass(Duration::from_millis(500)).await;
    }
    site.never_signed_out();
}

/// The browser stores the cookies of the response, and has no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_whose_registration_got_half_a_response_works_without_a_key() {
    let site = Site::start().await;
    site.switches.cut_registrations.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let browser = Profile::new().open().await;
    site.sign_in(&browser).await;
    stays_signed_in(&site, &browser).await;
    assert_eq!(site.refreshes(), 0);
}
