//! The redirect to the sign-in page and back.

use serde_json::json;

use crate::{in_a_browser, site::Site};

in_a_browser! {
    async fn anonymous_page_request_leads_to_the_sign_in_page_and_back(browser) {
        let site = Site::start().await;
        browser.open(&site.at("/members/area?a=1&b=%2F%26#part")).await;
        browser.until("location.pathname === '/login'").await;
        assert_eq!(browser.cookies().await, Vec::<serde_json::Value>::new());
        browser.click("#plain").await;
        browser.until("location.pathname === '/members/area'").await;
        let url = browser.url().await;
        assert!(url.starts_with(&site.at("/members/area?a=1&b=%2F%26")), "{url}");
        assert_eq!(site.account(&browser).await, "alice fresh");
    }

    async fn script_and_form_get_401_without_a_redirect(browser) {
        let site = Site::start().await;
        browser.open(&site.at("/blank")).await;
        let fetch = "const answer = await fetch('/members/area');
            return [answer.status, answer.redirected, answer.headers.get('content-type')]";
        assert_eq!(browser.run(fetch).await, json!([401, false, "application/problem+json"]));
        let accepting = "const answer = await fetch('/members/area', { headers: { accept: 'text/html' } });
            return [answer.status, answer.redirected]";
        assert_eq!(browser.run(accepting).await, json!([401, false]));
        let form = "const form = document.createElement('form');
            form.method = 'post';
            form.action = '/members/area';
            document.body.append(form);
            form.submit()";
        browser.run(form).await;
        browser.until("location.pathname === '/members/area'").await;
        let posted = site.seen().into_iter().find(|seen| seen.line == "POST /members/area");
        assert_eq!(posted.map(|seen| seen.status), Some(401));
    }

    async fn return_path_never_redirects_to_another_site(browser) {
        let site = Site::start().await;
        let evil = site.elsewhere("/blank");
        let host = evil.trim_start_matches("http:");
        let tab = format!("/%09{host}");
        let backslash = format!("/\\{}", host.trim_start_matches("//"));
        for next in [evil.as_str(), host, &tab, &backslash, "%0d%0a//127.0.0.1", "javascript:alert(1)"] {
            browser.open(&site.at(&format!("/login?next={next}"))).await;
            browser.click("#plain").await;
            browser.until("location.pathname !== '/login'").await;
            assert_eq!(browser.url().await, site.at("/account"), "{next:?}");
        }
    }
}
