//! Cookies planted by an attacker or by another application.

use crate::{driver::Browser, in_a_browser, site::Site};

async fn names(browser: &Browser) -> Vec<String> {
    let cookies = browser.cookies().await;
    cookies.iter().map(|cookie| cookie["name"].as_str().expect("a name").to_owned()).collect()
}

in_a_browser! {
    async fn prefixed_cookie_that_breaks_the_prefix_rules_is_not_stored(browser) {
        let site = Site::start().await;
        let rules = ["x; Path=/", "x; Secure", "x; Secure; Path=/blank", "x; Secure; Path=/; Domain=localhost"];
        for name in ["__Host-access", "__Host-refresh", "__host-refresh"] {
            for rule in rules {
                site.plant(&browser, &format!("{name}={rule}")).await;
                browser.open(&site.at("/blank")).await;
                browser.run(&format!("document.cookie = '{name}={rule}'")).await;
            }
        }
        browser.open(&site.at("/blank")).await;
        assert_eq!(names(&browser).await, Vec::<String>::new());
        // A cookie without a name must not pass for ours either.
        site.plant(&browser, "=__Host-refresh=x; Secure; Path=/").await;
        browser.open(&site.at("/home")).await;
        assert_eq!(names(&browser).await, Vec::<String>::new());
    }

    async fn planted_cookie_of_another_path_or_spelling_does_not_shadow_ours(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        for line in [
            "__Host-access=evil; Secure; Path=/account",
            "__%48ost-access=evil; Path=/account",
            "__Host-access%3dx=evil; Secure; Path=/",
            "access=evil; Path=/account",
            "xx__Host-access=evil; Path=/account",
        ] {
            site.plant(&browser, line).await;
        }
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        assert_eq!(names(&browser).await.len(), 6, "the browser stored four of the five");
        site.expire();
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice renewed");
    }

    async fn unprefixed_cookie_of_a_longer_path_is_sent_too_and_the_valid_one_is_used(browser) {
        let site = Site::with(|builder, _| builder.cookies(|cookies| cookies.names("access", "refresh"))).await;
        site.sign_in(&browser).await;
        for name in ["access", "refresh"] {
            site.plant(&browser, &format!("{name}=evil; Path=/home")).await;
        }
        browser.open(&site.at("/home")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        assert!(site.conflicts() > 0);
        // Other pages get only our cookies.
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
    }
}
