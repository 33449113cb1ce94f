//! `SameSite`, and the first click on another site.

use crate::{driver::Browser, in_a_browser, site::Site};

/// Follows a link on a page of another site, such as web mail.
async fn follow_a_link_from_elsewhere(site: &Site, browser: &Browser) {
    browser.open(&site.elsewhere("/blank")).await;
    let link = format!(
        "const link = document.createElement('a');
         link.href = '{}';
         link.innerText = 'over there';
         document.body.append(link);",
        site.at("/home")
    );
    browser.run(&link).await;
    site.seen();
    browser.click("a").await;
    browser.until("location.pathname === '/home' && document.querySelector('h1')").await;
}

in_a_browser! {
    async fn lax_cookies_are_sent_and_renewed_at_the_first_click_from_another_site(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        follow_a_link_from_elsewhere(&site, &browser).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        site.expire();
        follow_a_link_from_elsewhere(&site, &browser).await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        let seen = site.arrived("GET /home").await;
        assert_eq!((seen.from.as_str(), seen.cookies, seen.sets_cookies), ("cross-site", true, true), "{seen:?}");
        browser.click("a").await;
        browser.until("document.querySelector('h1').innerText === 'alice fresh'").await;
    }

    async fn strict_cookies_are_not_sent_at_the_first_click_from_another_site_and_are_at_the_next(browser) {
        let site = Site::with(|builder, _| builder.cookies(|cookies| cookies.same_site_strict())).await;
        site.sign_in(&browser).await;
        assert!(browser.cookies().await.iter().all(|cookie| cookie["sameSite"] == "Strict"));
        for (end, then) in [(false, "alice fresh"), (true, "alice renewed")] {
            if end {
                site.expire();
            }
            follow_a_link_from_elsewhere(&site, &browser).await;
            assert_eq!(site.account(&browser).await, "anonymous");
            let seen = site.arrived("GET /home").await;
            assert_eq!((seen.cookies, seen.sets_cookies), (false, false), "{seen:?}");
            browser.click("a").await;
            browser.until(&format!("document.querySelector('h1').innerText === '{then}'")).await;
        }
    }

    async fn strict_cookies_are_sent_for_a_typed_url(browser) {
        let site = Site::with(|builder, _| builder.cookies(|cookies| cookies.same_site_strict())).await;
        site.sign_in(&browser).await;
        browser.open(&site.elsewhere("/blank")).await;
        browser.open(&site.at("/home")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
    }
}
