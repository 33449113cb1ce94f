//! The attributes of the cookies in the browser, and what scripts can do with them.

use serde_json::{Value, json};

use crate::{driver::Browser, in_a_browser, site::Site};

/// Our cookies in the browser, without their values.
async fn kept(browser: &Browser) -> Vec<Value> {
    let mut cookies = browser.cookies().await;
    for cookie in &mut cookies {
        cookie.as_object_mut().expect("an object").remove("value");
    }
    cookies
}

in_a_browser! {
    async fn cookies_arrive_with_every_documented_attribute(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let cookie = |name| {
            json!({
                "name": name, "domain": "localhost", "path": "/", "secure": true, "httpOnly": true, "sameSite": "Lax",
            })
        };
        // A domain without a leading dot means a host-only cookie, and no expiry means a session cookie.
        assert_eq!(kept(&browser).await, [cookie("__Host-access"), cookie("__Host-refresh")]);
    }

    async fn remembered_cookies_last_as_long_as_the_session(browser) {
        let site = Site::start().await;
        browser.open(&site.at("/login")).await;
        browser.click("#remembered").await;
        browser.until("location.pathname === '/account'").await;
        let now = browser.run("return Date.now() / 1000").await.as_f64().expect("a number");
        for cookie in kept(&browser).await {
            let left = cookie["expiry"].as_f64().expect("an expiry") - now;
            assert!((86_340.0..86_460.0).contains(&left), "{cookie}");
        }
        assert_eq!(kept(&browser).await.len(), 2);
    }

    async fn scripts_cannot_read_replace_or_remove_the_cookies(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let before = browser.cookies().await;
        let read = browser.run("return [document.cookie, await cookieStore.getAll()]").await;
        assert_eq!(read, json!(["", []]));
        for attempt in ["x; Secure; Path=/", "; Secure; Path=/; Max-Age=0", "x; Secure; Path=/; SameSite=None"] {
            browser.run(&format!("document.cookie = '__Host-access={attempt}'")).await;
            browser.run(&format!("document.cookie = '__Host-refresh={attempt}'")).await;
        }
        browser.run("await cookieStore.set('__Host-refresh', 'x').catch(() => null)").await;
        browser.run("await cookieStore.delete('__Host-refresh').catch(() => null)").await;
        assert_eq!(browser.cookies().await, before);
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
    }

    async fn scripts_read_the_readable_cookie_and_a_forged_one_has_no_effect(browser) {
        let shown = json!({"greeting": "Grüß Gott; 100 %", "roles": ["editor"]});
        let shows = shown.clone();
        let site = Site::with(move |builder, _| builder.readable_cookie("__Host-me", move |_| shows.clone())).await;
        let read = "const pair = document.cookie.split('; ').find(pair => pair.startsWith('__Host-me='));
            return pair ? JSON.parse(decodeURIComponent(pair.slice('__Host-me='.length))) : null";
        site.sign_in(&browser).await;
        assert_eq!(browser.run(read).await, shown);
        browser.run("document.cookie = '__Host-me=%22boss%22; Secure; Path=/'").await;
        assert_eq!(browser.run(read).await, json!("boss"));
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
        site.expire();
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        assert_eq!(browser.run(read).await, shown, "a renewal sets it again");
        browser.click("#out").await;
        browser.until("location.pathname === '/blank'").await;
        assert_eq!(browser.run(read).await, Value::Null);
        assert_eq!(browser.cookies().await, Vec::<Value>::new());
    }

    async fn sign_out_removes_the_cookies(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        browser.click("#out").await;
        browser.until("location.pathname === '/blank'").await;
        assert_eq!(browser.cookies().await, Vec::<Value>::new());
        browser.open(&site.at("/home")).await;
        assert_eq!(site.account(&browser).await, "anonymous");
    }
}
