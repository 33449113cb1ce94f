//! What the back and forward buttons show after a sign-out.
//!
//! Chromium keeps whole pages, and shows them again without a request, unless they were sent with
//! `no-store`. It does not show pages from its HTTP cache: they vary by cookie, and the cookies were
//! removed.

use crate::{
    driver::Browser,
    in_a_browser,
    site::{Seen, Site},
};

const REFUSED: &str = "Sign in first";

/// Goes from `page` to the account, and signs out there by `button`. One step back is the account, two
/// are `page`.
async fn sign_out_after(site: &Site, browser: &Browser, page: &str, button: &str) {
    site.sign_in(browser).await;
    browser.open(&site.at(page)).await;
    assert!(browser.text().await.contains("alice"));
    browser.open(&site.at("/account")).await;
    browser.click(button).await;
    browser.until("location.pathname === '/blank'").await;
    site.seen();
}

/// Whether the current page was refused, after a request to the server.
async fn is_refused(site: &Site, browser: &Browser, page: &str) -> bool {
    let asked = |seen: &Seen| seen.line == format!("GET {page}") && seen.status == 401;
    let text = browser.text().await;
    assert!(browser.url().await.ends_with(page));
    text.contains(REFUSED) && !text.contains("alice") && site.seen().iter().any(asked)
}

in_a_browser! {
    async fn back_and_forward_do_not_show_a_page_with_no_store(browser) {
        let site = Site::start().await;
        sign_out_after(&site, &browser, "/secret", "#out").await;
        browser.back().await;
        browser.back().await;
        assert!(is_refused(&site, &browser, "/secret").await);

        site.sign_in(&browser).await;
        browser.open(&site.at("/blank")).await;
        browser.open(&site.at("/secret")).await;
        assert!(browser.text().await.contains("alice"));
        browser.back().await;
        browser.run("await fetch('/logout', { method: 'POST' })").await;
        site.seen();
        browser.forward().await;
        assert!(is_refused(&site, &browser, "/secret").await);
    }

    async fn back_does_not_show_a_renewed_page(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        site.expire();
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        browser.click("#out").await;
        browser.until("location.pathname === '/blank'").await;
        site.seen();
        browser.back().await;
        assert!(is_refused(&site, &browser, "/account").await);
    }

    async fn back_shows_any_other_page_unless_the_sign_out_clears_the_cache(browser) {
        for page in ["/account?earlier", "/kept"] {
            let site = Site::start().await;
            sign_out_after(&site, &browser, page, "#out").await;
            browser.back().await;
            browser.back().await;
            assert!(browser.text().await.contains("alice"), "Chromium shows the page again; it would be safer if this failed");
            assert!(site.seen().is_empty(), "{page}: no request to the server");

            let site = Site::start().await;
            sign_out_after(&site, &browser, page, "#clear").await;
            browser.back().await;
            browser.back().await;
            assert!(browser.text().await.contains(REFUSED), "{page}");
            assert_eq!(site.seen()[0].status, 401);
        }
    }

    async fn page_of_the_sign_out_itself_is_kept_unless_it_has_no_store(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        browser.click("#clear").await;
        browser.until("location.pathname === '/blank'").await;
        // The page was still open when the cache was cleared.
        browser.back().await;
        assert_eq!(site.account(&browser).await, "alice fresh");

        site.sign_in(&browser).await;
        browser.open(&site.at("/secret")).await;
        browser.click("#out").await;
        browser.until("location.pathname === '/blank'").await;
        site.seen();
        browser.back().await;
        assert!(is_refused(&site, &browser, "/secret").await);
    }

    async fn back_shows_no_page_of_a_layer_with_no_store(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        browser.open(&site.at("/vault")).await;
        browser.click("#out").await;
        browser.until("location.pathname === '/blank'").await;
        site.seen();
        browser.back().await;
        assert!(is_refused(&site, &browser, "/vault").await);
    }

    async fn page_in_the_http_cache_is_not_shown_after_a_sign_out(browser) {
        drop(browser);
        let browser = Browser::with_flags(&["--disable-features=BackForwardCache"]).await;
        for page in ["/kept", "/secret", "/account?earlier"] {
            let site = Site::start().await;
            sign_out_after(&site, &browser, page, "#out").await;
            browser.back().await;
            assert!(is_refused(&site, &browser, "/account").await);
            browser.back().await;
            assert!(browser.text().await.contains(REFUSED), "{page}");
            browser.open(&site.at(page)).await;
            assert!(browser.text().await.contains(REFUSED), "{page}");
        }
    }
}
