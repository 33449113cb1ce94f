//! The demo's page after an idle time, with the system clock.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    demo::{Demo, WELCOME},
    driver::Browser,
    in_a_browser,
};

/// More than an access token's life and a rotation interval.
const IDLE: Duration = Duration::from_millis(5_500);

/// Prepares the current tab to send 50 requests on a message. The first six occupy all connections that a
/// browser opens to one host, so no response arrives before all requests carry their cookies.
async fn wait_for_the_message(browser: &Browser) {
    let script = "const ask = async n => {
            const path = n < 6 ? '/slow?ms=700&' : '/me?';
            const answer = await fetch(path + n, { cache: 'no-store' });
            return [answer.status, answer.headers.get('demo-outcome'), answer.headers.get('demo-generation')];
        };
        const channel = new BroadcastChannel('word');
        window.answers = new Promise((done, fail) => channel.onmessage = () => {
            channel.close();
            Promise.all(Array.from({ length: 50 }, (_, n) => ask(n))).then(done, fail);
        })";
    browser.run(script).await;
}

async fn answers(browser: &Browser) -> Vec<Value> {
    browser.run("return await window.answers").await.as_array().expect("a list").clone()
}

in_a_browser! {
    async fn idle_page_is_renewed_without_a_script(browser) {
        let demo = Demo::start();
        demo.sign_in(&browser).await;
        browser.open(&demo.at("/healthz")).await;
        tokio::time::sleep(IDLE).await;
        let before = browser.cookies().await;
        browser.open(&demo.at("/me")).await;
        let me: Value = serde_json::from_str(&browser.text().await).expect("JSON");
        assert_eq!((&me["sub"], &me["outcome"]), (&json!("alice"), &json!("rotated")));
        assert_ne!(browser.cookies().await, before);
        tokio::time::sleep(IDLE).await;
        browser.open(&demo.at("/")).await;
        browser.until(WELCOME).await;
    }

    async fn fifty_requests_in_each_of_two_tabs_at_expiry_are_served_by_one_rotation(browser) {
        // A hundred requests may take long on a busy machine.
        let demo = Demo::start_with([
            ("DEMO_GRACE", "3"),
            ("DEMO_WRITE_WINDOW", "3"),
            ("DEMO_ROTATION_INTERVAL", "10"),
        ]);
        demo.sign_in(&browser).await;
        let first = browser.tab().await;
        let second = browser.new_tab().await;
        browser.open(&demo.at("/")).await;
        browser.until(WELCOME).await;
        for generation in ["1", "2"] {
            for tab in [&first, &second] {
                browser.switch_to(tab).await;
                wait_for_the_message(&browser).await;
            }
            tokio::time::sleep(2 * IDLE).await;
            browser.run("new BroadcastChannel('word').postMessage('now')").await;
            let mut all = answers(&browser).await;
            browser.switch_to(&first).await;
            all.extend(answers(&browser).await);
            assert_eq!(all.len(), 100);
            assert!(all.iter().all(|answer| answer[0] == 200), "{all:?}");
            let served: HashSet<_> = all.iter().map(|answer| answer[2].as_str()).collect();
            assert_eq!(served, HashSet::from([Some(generation)]), "one rotation");
            let renewed = all.iter().filter(|answer| answer[1] != "fresh").count();
            assert!(renewed > 1, "several requests carried the same expired cookie: {all:?}");
            // A request confirms it, so that it can be rotated too.
            browser.run("await fetch('/me')").await;
        }
        for tab in [&first, &second] {
            browser.switch_to(tab).await;
            browser.reload().await;
            browser.until(WELCOME).await;
        }
    }
}
