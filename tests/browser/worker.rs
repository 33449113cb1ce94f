//! Prefetches and service workers.

use serde_json::json;

use crate::{driver::Browser, in_a_browser, site::Site};

async fn prefetch(browser: &Browser) {
    let link = "const link = document.createElement('link');
        link.rel = 'prefetch';
        link.href = '/home?' + Math.random();
        document.head.append(link)";
    browser.run(link).await;
}

/// Whether a service worker could be installed.
async fn install(browser: &Browser) -> bool {
    let script =
        "const taken = new Promise(done => navigator.serviceWorker.oncontrollerchange = () => done(true));
        return navigator.serviceWorker.register('/worker.js').then(() => taken, () => false)";
    browser.run(script).await.as_bool().expect("a yes or no")
}

in_a_browser! {
    async fn prefetch_does_not_renew_and_the_visit_does(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        prefetch(&browser).await;
        let seen = site.arrived("GET /home").await;
        assert_eq!((seen.purpose.as_str(), seen.status), ("prefetch", 200), "{seen:?}");
        site.expire();
        let before = browser.cookies().await;
        prefetch(&browser).await;
        let seen = site.arrived("GET /home").await;
        assert_eq!((seen.purpose.as_str(), seen.cookies, seen.status), ("prefetch", true, 425), "{seen:?}");
        assert_eq!((site.renewals(), browser.cookies().await), (0, before));
        browser.open(&site.at("/home")).await;
        assert_eq!(site.account(&browser).await, "alice renewed");
    }

    async fn refused_prefetch_is_never_shown_as_the_page(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        site.expire();
        let rules = "const rules = document.createElement('script');
            rules.type = 'speculationrules';
            rules.textContent = JSON.stringify({ prefetch: [{ urls: ['/home'], eagerness: 'immediate' }] });
            document.head.append(rules)";
        browser.run(rules).await;
        let seen = site.arrived("GET /home").await;
        assert_eq!((seen.purpose.as_str(), seen.status), ("prefetch", 425), "{seen:?}");
        browser.run("setTimeout(() => location.href = '/home')").await;
        browser.until("document.querySelector('h1')?.innerText === 'alice renewed'").await;
    }

    async fn script_of_a_service_worker_does_not_renew_and_its_fetches_do(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        site.expire();
        assert!(!install(&browser).await);
        let seen = site.arrived("GET /worker.js").await;
        assert_eq!((seen.purpose.as_str(), seen.status, site.renewals()), ("script", 425, 0), "{seen:?}");
        browser.reload().await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        assert!(install(&browser).await);
        site.expire();
        let fetch = "return (await (await fetch('/me')).json()).renewed";
        assert_eq!(browser.run(fetch).await, json!(true));
        assert_eq!(site.rotations(), 2);
        site.expire();
        browser.open(&site.at("/home")).await;
        assert_eq!(site.account(&browser).await, "alice renewed");
        assert_eq!(browser.run("return Boolean(navigator.serviceWorker.controller)").await, json!(true));
        browser.click("a").await;
        browser.until("document.querySelector('h1').innerText === 'alice fresh'").await;
    }
}
