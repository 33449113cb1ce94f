//! Cookies that are too large: ours, and other applications'.

use serde_json::json;

use crate::{in_a_browser, site::Site};

in_a_browser! {
    async fn too_large_claims_are_an_error_and_the_old_session_stays(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let before = browser.cookies().await;
        browser.open(&site.at("/login")).await;
        browser.click("#huge").await;
        let seen = site.arrived("POST /login").await; // alice's first
        assert_eq!(seen.status, 303);
        let seen = site.arrived("POST /login").await;
        assert_eq!((seen.status, seen.sets_cookies), (500, false), "{seen:?}");
        assert_eq!(browser.cookies().await, before);
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        site.expire();
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice renewed");
    }

    async fn large_and_malformed_cookies_of_other_applications_do_not_hide_ours(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        // Two bytes each in UTF-8.
        let odd = "for (let i = 0; i < 4; i++) document.cookie = `odd${i}=${'\\u00e9'.repeat(2000)}\"\\\\,%; Path=/`";
        browser.run(odd).await;
        assert_eq!(browser.run("return document.cookie.length > 8000").await, json!(true));
        // And bytes that are not UTF-8.
        site.plant(&browser, "bytes=\u{ff}\u{fe}\u{80}; Path=/").await;
        assert!(browser.cookie("bytes").await.is_some());
        site.seen();
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        assert!(site.arrived("GET /account").await.odd);
        site.expire();
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice fresh");
    }

    async fn lost_access_cookie_is_renewed_and_a_lost_refresh_cookie_ends_the_session_at_expiry(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let drop = async |name| browser.devtools("Network.deleteCookies", json!({"name": name, "url": site.at("/")})).await;
        drop("__Host-access").await;
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        drop("__Host-refresh").await;
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        site.expire();
        browser.open(&site.at("/home")).await;
        assert_eq!(site.account(&browser).await, "anonymous");
    }
}
