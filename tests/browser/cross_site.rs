//! What other sites can do, and other origins of the same site.

use serde_json::{Value, json};
use tower_sliding_sessions::SessionsBuilder;

use crate::{
    driver::Browser,
    in_a_browser,
    site::{Seen, Site},
};

/// Cookies that are sent with every request, so that only the check of the origin protects.
fn with_every_request(builder: SessionsBuilder<String>, _: &str) -> SessionsBuilder<String> {
    builder.cookies(|cookies| cookies.dangerous_same_site_none())
}

/// Submits a form from the current page to `url`.
async fn send_form(browser: &Browser, url: &str) {
    let script = format!(
        "const form = document.createElement('form');
         form.method = 'post';
         form.action = '{url}';
         document.body.append(form);
         form.submit();"
    );
    browser.run(&script).await;
}

/// The request of a form on the page at `from`.
async fn form_from(site: &Site, browser: &Browser, from: &str) -> Seen {
    browser.open(from).await;
    send_form(browser, &site.at("/post")).await;
    site.arrived("POST /post").await
}

/// The same by a script, with credentials.
async fn fetch_from(site: &Site, browser: &Browser, from: &str) -> Seen {
    browser.open(from).await;
    let post = format!(
        "await fetch('{}', {{ method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x' }})",
        site.at("/post")
    );
    browser.run(&post).await;
    site.arrived("POST /post").await
}

/// The result of a WebSocket that the page opens.
async fn socket_to(site: &Site, browser: &Browser) -> Value {
    let url = site.at("/ws").replace("http:", "ws:");
    let script = format!(
        "return new Promise(done => {{
            const socket = new WebSocket('{url}');
            socket.onmessage = event => done(event.data);
            socket.onerror = () => done('refused');
        }})"
    );
    browser.run(&script).await
}

in_a_browser! {
    async fn cross_site_form_and_script_send_no_cookies_and_are_refused(browser) {
        let site = Site::start().await;
        site.sign_in(&browser).await;
        // The browser omits the cookies, and the server refuses the request with and without them.
        for seen in [
            form_from(&site, &browser, &site.elsewhere("/blank")).await,
            fetch_from(&site, &browser, &site.elsewhere("/blank")).await,
        ] {
            assert_eq!((seen.from.as_str(), seen.cookies, seen.status), ("cross-site", false, 403), "{seen:?}");
        }
        assert_eq!(form_from(&site, &browser, &site.at("/blank")).await.status, 200);
        assert_eq!(fetch_from(&site, &browser, &site.at("/blank")).await.status, 200);
    }

    async fn cross_site_request_with_cookies_is_refused(browser) {
        let site = Site::with(with_every_request).await;
        site.sign_in(&browser).await;
        for seen in [
            form_from(&site, &browser, &site.elsewhere("/blank")).await,
            fetch_from(&site, &browser, &site.elsewhere("/blank")).await,
        ] {
            assert_eq!((seen.from.as_str(), seen.cookies, seen.status), ("cross-site", true, 403), "{seen:?}");
        }
        browser.open(&site.elsewhere("/blank")).await;
        assert_eq!(socket_to(&site, &browser).await, json!("refused"));
        assert_eq!(site.arrived("GET /ws").await.status, 403);
        assert_eq!(site.refused_as_cross_site(), 3);
        browser.open(&site.at("/blank")).await;
        assert_eq!(socket_to(&site, &browser).await, json!("alice fresh"));
    }

    async fn other_origin_of_the_same_site_is_refused_unless_trusted(browser) {
        let distrusting = Site::start().await;
        distrusting.sign_in(&browser).await;
        for seen in [
            form_from(&distrusting, &browser, &distrusting.other_origin("/blank")).await,
            fetch_from(&distrusting, &browser, &distrusting.other_origin("/blank")).await,
        ] {
            assert_eq!((seen.from.as_str(), seen.cookies, seen.status), ("same-site", true, 403), "{seen:?}");
        }
        let trusting = Site::with(|builder, other| builder.cookies(|cookies| cookies.trusted_origin(other))).await;
        trusting.sign_in(&browser).await;
        for seen in [
            form_from(&trusting, &browser, &trusting.other_origin("/blank")).await,
            fetch_from(&trusting, &browser, &trusting.other_origin("/blank")).await,
        ] {
            assert_eq!((seen.from.as_str(), seen.cookies, seen.status), ("same-site", true, 200), "{seen:?}");
        }
        assert_eq!(form_from(&trusting, &browser, &trusting.elsewhere("/blank")).await.status, 403);
    }

    async fn cross_site_form_causes_no_sign_in_and_no_sign_out(browser) {
        let site = Site::with(with_every_request).await;
        site.sign_in(&browser).await;
        site.seen();
        let before = browser.cookies().await;
        for path in ["/login", "/logout"] {
            browser.open(&site.elsewhere("/blank")).await;
            send_form(&browser, &site.at(path)).await;
            let seen = site.arrived(&format!("POST {path}")).await;
            assert_eq!((seen.status, seen.sets_cookies), (403, false), "{seen:?}");
        }
        browser.open(&site.at("/account")).await;
        assert_eq!(browser.cookies().await, before);
        assert_eq!(site.account(&browser).await, "alice fresh");
    }

    async fn resource_embedded_by_another_site_does_not_renew(browser) {
        let site = Site::with(with_every_request).await;
        site.sign_in(&browser).await;
        site.expire();
        browser.open(&site.elsewhere("/blank")).await;
        site.seen();
        let embed = format!(
            "const image = new Image(), frame = document.createElement('iframe');
             image.src = '{}';
             frame.src = '{}';
             document.body.append(image, frame);",
            site.at("/dot"),
            site.at("/account"),
        );
        browser.run(&embed).await;
        for line in ["GET /dot", "GET /account"] {
            let seen = site.arrived(line).await;
            assert!(seen.cookies, "{seen:?}");
            assert_eq!((seen.from.as_str(), seen.status, seen.sets_cookies), ("cross-site", 401, false), "{seen:?}");
        }
        assert_eq!(site.renewals(), 0);
        // A same-origin image does.
        browser.open(&site.at("/blank")).await;
        browser.run("const image = new Image(); image.src = '/dot'; await image.decode()").await;
        assert_eq!(site.renewals(), 1);
    }
}
