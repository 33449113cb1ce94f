//! Every kind of request that a page sends renews its session.

use serde_json::json;

use crate::{driver::Browser, in_a_browser, site::Site};

/// Sends a request with an expired access token, and checks that it renews.
async fn renews(site: &Site, browser: &Browser, line: &str, script: &str, answer: serde_json::Value) {
    browser.open(&site.at("/account")).await;
    site.expire();
    let (rotations, before) = (site.rotations(), browser.cookies().await);
    site.seen();
    assert_eq!(browser.run(script).await, answer, "{line}");
    let request = site.arrived(line).await;
    assert!(request.cookies && request.sets_cookies, "{request:?}");
    assert_eq!(site.rotations(), rotations + 1, "{line}");
    let after = browser.cookies().await;
    for name in ["__Host-access", "__Host-refresh"] {
        let value = |cookies: &[serde_json::Value]| {
            cookies.iter().find(|cookie| cookie["name"] == name).map(|cookie| cookie["value"].clone())
        };
        assert!(value(&after).is_some(), "{line}");
        assert_ne!(value(&after), value(&before), "{line}: {name} arrived");
    }
    browser.open(&site.at("/account")).await;
    assert_eq!(site.account(browser).await, "alice fresh", "after {line}");
}

in_a_browser! {
    async fn page_opened_or_reloaded_after_expiry_is_served_and_renewed(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        for round in 1..=5 {
            site.expire();
            if round % 2 == 0 { browser.reload().await } else { browser.open(&site.at("/account")).await }
            assert_eq!(site.account(&browser).await, "alice renewed");
            browser.reload().await;
            assert_eq!(site.account(&browser).await, "alice fresh");
            assert_eq!(site.rotations(), round);
        }
    }

    async fn form_submitted_after_expiry_is_served(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        site.expire();
        browser.click("#post").await;
        browser.until("location.pathname === '/post'").await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        let request = site.arrived("POST /post").await;
        assert!(request.sets_cookies, "{request:?}");
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
    }

    async fn every_kind_of_script_request_renews(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let fetch = "const answer = await fetch('/me'); return (await answer.json()).renewed";
        renews(&site, &browser, "GET /me", fetch, json!(true)).await;
        let post = "return (await fetch('/post', { method: 'POST', body: 'x' })).status";
        renews(&site, &browser, "POST /post", post, json!(200)).await;
        let xhr = "const ask = new XMLHttpRequest();
            return new Promise(done => { ask.onload = () => done(ask.status); ask.open('GET', '/me'); ask.send(); })";
        renews(&site, &browser, "GET /me", xhr, json!(200)).await;
        let beacon = "return navigator.sendBeacon('/post', 'x')";
        renews(&site, &browser, "POST /post", beacon, json!(true)).await;
        let image = "const image = new Image(); image.src = '/dot'; await image.decode(); return image.width";
        renews(&site, &browser, "GET /dot", image, json!(1)).await;
        let frame = "const frame = document.createElement('iframe');
            return new Promise(done => {
                frame.onload = () => done(frame.contentDocument.querySelector('h1').innerText);
                frame.src = '/account';
                document.body.append(frame);
            })";
        renews(&site, &browser, "GET /account", frame, json!("alice renewed")).await;
    }

    async fn event_source_renews(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let script = "return new Promise((done, fail) => {
            const stream = new EventSource('/stream');
            stream.onmessage = event => { stream.close(); done(event.data); };
            stream.onerror = fail;
        })";
        renews(&site, &browser, "GET /stream", script, json!("alice renewed")).await;
    }

    async fn web_socket_handshake_renews(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let script = "return new Promise((done, fail) => {
            const socket = new WebSocket('/ws');
            socket.onmessage = event => done(event.data);
            socket.onerror = fail;
        })";
        renews(&site, &browser, "GET /ws", script, json!("alice renewed")).await;
    }

    async fn redirect_sets_the_cookies(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        let script = "const answer = await fetch('/bounce'); return new URL(answer.url).pathname";
        renews(&site, &browser, "GET /bounce", script, json!("/blank")).await;
        site.expire();
        let before = browser.cookie("__Host-refresh").await;
        browser.open(&site.at("/bounce")).await;
        assert_eq!(browser.url().await, site.at("/blank"));
        assert_eq!(site.arrived("GET /bounce").await.status, 303);
        assert_ne!(browser.cookie("__Host-refresh").await, before);
        browser.open(&site.at("/account")).await;
        assert_eq!(site.account(&browser).await, "alice fresh");
    }
}
