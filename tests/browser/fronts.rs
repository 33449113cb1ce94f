//! The front ends of the examples: none of them handles tokens, and renewals do not interrupt the user.

#[path = "../../examples/fetch/main.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod fetch;
#[path = "../../examples/htmx/main.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod htmx;
#[path = "../../examples/preact/main.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod preact;
#[path = "../../examples/redirect.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod redirect;

use std::{sync::Arc, time::Duration};

use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;
use tower_sliding_sessions::{BuildError, Keyring, ManualClock, Sessions, SessionsBuilder, Timestamp};

use crate::{driver::Browser, in_a_browser};

/// An example at its own origin, with a manual clock.
struct Front {
    origin: String,
    clock: Arc<ManualClock>,
    server: tokio::task::JoinHandle<()>,
}

impl Front {
    async fn start(app: fn(SessionsBuilder<()>) -> Result<Router, BuildError>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let builder = Sessions::builder(keys).clock(clock.clone());
        let app = app(crate::device_bound::device_bound(builder)).expect("a valid policy");
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { origin, clock, server }
    }

    async fn open(&self, browser: &Browser, path: &str) {
        browser.open(&format!("{}{path}", self.origin)).await;
    }

    /// Advances the clock beyond the access token's expiry.
    fn expire(&self) {
        self.clock.advance(Duration::from_secs(6 * 60));
    }

    /// Advances the clock beyond the idle timeout.
    fn end(&self) {
        self.clock.advance(Duration::from_secs(3 * 60 * 60));
    }

    /// Runs `act` three times, each time with an expired access token, and waits for its result. Each
    /// sends exactly one request, which renews the access token.
    async fn keeps_working(&self, browser: &Browser, path: &str, act: &str, seen: impl Fn(u32) -> String) {
        for round in 1..=3 {
            self.expire();
            let (token, requests) = (browser.cookie("__Host-access").await, requests(browser, path).await);
            assert!(token.is_some());
            browser.run(act).await;
            browser.until(&format!("document.body.innerText.includes({})", json!(seen(round)))).await;
            assert!(browser.cookie("__Host-access").await != token, "round {round}: it was renewed");
            assert_eq!(self::requests(browser, path).await, requests + 1, "round {round}");
        }
        let held = "return JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])";
        let held = browser.run(held).await.to_string();
        assert!(!held.contains("eyJ"), "the page has a token: {held}");
        let elsewhere = "return performance.getEntriesByType('resource').map(entry => entry.name)
            .filter(name => new URL(name).origin !== location.origin)";
        assert_eq!(browser.run(elsewhere).await, json!([]), "nothing comes from another host");
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The number of requests for `path` that the page has sent.
async fn requests(browser: &Browser, path: &str) -> u64 {
    let script = format!(
        "return performance.getEntriesByType('resource')
             .filter(entry => new URL(entry.name).pathname.startsWith('{path}')).length"
    );
    browser.run(&script).await.as_u64().expect("a number")
}

/// Fills the form in and submits it.
async fn sign_in(browser: &Browser) {
    browser.run("document.querySelector('[name=name]').value = 'ann'").await;
    browser.click("form:has([name=name]) button").await;
}

/// Waits for a heading.
async fn heading(browser: &Browser, heading: &str) {
    browser.until(&format!("document.querySelector('h1')?.innerText === {}", json!(heading))).await;
}

in_a_browser! {
    async fn page_that_fetches_is_renewed_and_keeps_typed_text(browser) {
        let front = Front::start(fetch::app).await;
        front.open(&browser, "/").await;
        browser.until("document.querySelector('dialog').open").await;
        sign_in(&browser).await;
        browser.until("!document.querySelector('dialog').open").await;
        let script = "const count = document.querySelectorAll('li').length;
            note.elements.text.value = `note ${count + 1}`;
            note.requestSubmit()";
        front.keeps_working(&browser, "/notes", script, |round| format!("note {round}")).await;

        front.end();
        browser.run("note.elements.text.value = 'written for an hour'; note.requestSubmit()").await;
        browser.until("document.querySelector('dialog').open").await;
        assert_eq!(browser.run("return note.elements.text.value").await, "written for an hour");
        sign_in(&browser).await;
        browser.until("document.querySelector('ul').innerText.includes('written for an hour')").await;
        assert_eq!(browser.run("return document.querySelectorAll('li').length").await, 4);

        browser.click("#out").await;
        browser.until("document.querySelector('dialog')?.open").await;
        assert_eq!(browser.cookies().await, Vec::<serde_json::Value>::new());
    }

    async fn htmx_parts_are_renewed_and_then_lead_to_the_sign_in_page_and_back(browser) {
        let front = Front::start(htmx::app).await;
        front.open(&browser, "/shop?sort=price&page=2").await;
        heading(&browser, "Sign in").await;
        sign_in(&browser).await;
        heading(&browser, "Apples").await;
        assert_eq!(browser.url().await, front.address("/shop?sort=price&page=2"));
        let more = "document.querySelector('#more').click()";
        front.keeps_working(&browser, "/cart", more, |round| format!("{round} apples")).await;
        heading(&browser, "Apples").await;

        front.end();
        browser.click("#more").await;
        heading(&browser, "Sign in").await;
        assert!(browser.url().await.starts_with(&front.address("/sign-in?next=")), "it left the page");
        sign_in(&browser).await;
        heading(&browser, "Apples").await;
        // The return path is the page, and not the requested part.
        assert_eq!(browser.url().await, front.address("/shop?sort=price&page=2"));
        browser.click("#more").await;
        browser.until("document.body.innerText.includes('4 apples')").await;

        browser.click("#out").await;
        heading(&browser, "Welcome").await;
        assert_eq!(browser.cookies().await, Vec::<serde_json::Value>::new());
    }

    async fn single_page_application_is_renewed_and_keeps_its_address(browser) {
        let front = Front::start(preact::app).await;
        front.open(&browser, "/rooms/7").await;
        heading(&browser, "Sign in").await;
        sign_in(&browser).await;
        heading(&browser, "ann in room 7").await;
        let next = "document.querySelector('#next').click()";
        front.keeps_working(&browser, "/api/", next, |round| format!("ann in room {}", 7 + round)).await;

        front.end();
        browser.click("#next").await;
        heading(&browser, "Sign in").await;
        assert_eq!(browser.url().await, front.address("/rooms/11"));
        sign_in(&browser).await;
        heading(&browser, "ann in room 11").await;
        browser.back().await;
        heading(&browser, "ann in room 10").await;

        browser.click("#out").await;
        heading(&browser, "Sign in").await;
        assert_eq!(browser.cookies().await, Vec::<serde_json::Value>::new());
    }

    async fn pages_without_a_script_are_renewed_and_sign_in_leads_back(browser) {
        let front = Front::start(redirect::app).await;
        let path = "/reports/2031?sort=name&page=2";
        front.open(&browser, path).await;
        heading(&browser, "Sign in").await;
        sign_in(&browser).await;
        heading(&browser, "The report of 2031").await;
        assert_eq!(browser.url().await, front.address(path));
        for year in 2032..2035 {
            front.expire();
            let token = browser.cookie("__Host-access").await;
            browser.click("#later").await;
            heading(&browser, &format!("The report of {year}")).await;
            assert!(browser.cookie("__Host-access").await != token, "{year}: it was renewed");
        }

        front.end();
        browser.click("#later").await;
        heading(&browser, "Sign in").await;
        sign_in(&browser).await;
        heading(&browser, "The report of 2035").await;
    }

    async fn sign_in_never_redirects_to_another_site(browser) {
        let front = Front::start(redirect::app).await;
        for next in [
            "//127.0.0.1:9/",
            "///127.0.0.1:9/",
            "/\\127.0.0.1:9/",
            "/%09/127.0.0.1:9/",
            "/%0a/127.0.0.1:9/",
            "http://127.0.0.1:9/",
            "javascript:alert(1)",
            "data:text/html,hello",
            "@127.0.0.1:9",
            "%20//127.0.0.1:9",
            "",
        ] {
            front.open(&browser, &format!("/sign-in?next={next}")).await;
            sign_in(&browser).await;
            heading(&browser, "Welcome").await;
            assert_eq!(browser.url().await, front.address("/"), "{next}");
        }
        for (next, path) in [("/reports/2031", "/reports/2031"), ("/.//reports/2031", "//reports/2031")] {
            front.open(&browser, &format!("/sign-in?next={next}")).await;
            sign_in(&browser).await;
            browser.until("location.pathname !== '/sign-in'").await;
            assert_eq!(browser.url().await, front.address(path), "{next}");
        }
    }
}
