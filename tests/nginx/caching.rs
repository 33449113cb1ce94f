//! A shared cache in front of users' own pages.

use crate::{
    client::{Answer, Client, Jar},
    site::{Site, sign_in, visit},
};

/// Caches every response that may be cached.
const CACHE: &str =
    "proxy_cache pages; proxy_cache_valid any 10m; add_header X-Cache $upstream_cache_status always;";

/// Settings that operators add when nothing is cached.
const CARELESS: [&str; 3] =
    ["", "proxy_ignore_headers Set-Cookie;", "proxy_ignore_headers Set-Cookie Cache-Control Expires;"];

const OF_ALICE: &str = "the page of alice";
const OF_BOB: &str = "the page of bob";

fn hit(answer: &Answer) -> bool {
    answer.header("x-cache") == Some("HIT")
}

/// Two users alternate on one page, each with a valid access token, an expired one, and a valid one
/// again. Each gets their own page and their own cookies.
async fn each_sees_their_own(site: &Site, client: &Client, path: &str) {
    let mut alice = sign_in(client, "alice").await;
    let mut bob = sign_in(client, "bob").await;
    for _ in 0..3 {
        for renewed in [false, true, false] {
            if renewed {
                site.expire();
            }
            for (jar, page) in [(&mut alice, OF_ALICE), (&mut bob, OF_BOB)] {
                for time in 0..2 {
                    let answer = visit(client, path, jar).await;
                    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, page.as_bytes()), "{path}");
                    // A cached response for the same cookies does not reach the application.
                    let sets = renewed && time == 0 && !hit(&answer);
                    assert_eq!(!answer.set_cookies.is_empty(), sets, "{path}, {answer:?}");
                    let me = client.get("/me", jar).await;
                    assert!(page.ends_with(me.json()["sub"].as_str().expect("a name")), "{path}");
                }
            }
        }
        let anonymous = client.get(path, &Jar::default()).await;
        assert_eq!(anonymous.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_behind_one_cache_never_get_each_others_pages_or_cookies() {
    for ignored in &CARELESS[..2] {
        let site = Site::start().await;
        let (_nginx, client) = site.behind(&format!("{CACHE}{ignored}")).await;
        for path in ["/silent", "/public"] {
            each_sees_their_own(&site, &client, path).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_page_and_page_without_cache_headers_are_never_cached() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind(&format!("{CACHE}{}", CARELESS[1])).await;
    let mut jar = sign_in(&client, "alice").await;
    for _ in 0..3 {
        assert!(!hit(&visit(&client, "/silent", &mut jar).await));
    }
    for _ in 0..3 {
        site.expire();
        // The same request again, as a browser that did not get the response sends it.
        let then = jar.clone();
        for _ in 0..2 {
            let answer = client.get("/public", &then).await;
            assert!(!hit(&answer) && !answer.set_cookies.is_empty(), "{answer:?}");
            jar.take(&answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_that_its_handler_calls_public_is_cached_per_user() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind(CACHE).await;
    let alice = sign_in(&client, "alice").await;
    let bob = sign_in(&client, "bob").await;
    for (jar, page) in [(&alice, OF_ALICE), (&bob, OF_BOB)] {
        for times in 0..3 {
            let answer = client.get("/public", jar).await;
            assert_eq!((&answer.body[..], hit(&answer)), (page.as_bytes(), times > 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_page_is_cached_but_never_for_a_signed_in_user() {
    for ignored in &CARELESS[..2] {
        let site = Site::start().await;
        let (_nginx, client) = site.behind(&format!("{CACHE}{ignored}")).await;
        let (mut alice, mut bob) = (sign_in(&client, "alice").await, sign_in(&client, "bob").await);
        for round in 0..3 {
            let anonymous = client.get("/home", &Jar::default()).await;
            assert_eq!((&anonymous.body[..], hit(&anonymous)), (&b"the page of anonymous"[..], round > 0));
            site.expire();
            assert_eq!(visit(&client, "/home", &mut alice).await.body, OF_ALICE);
            assert_eq!(visit(&client, "/home", &mut bob).await.body, OF_BOB);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_page_outside_the_layer_is_cached_for_all() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind(CACHE).await;
    let alice = sign_in(&client, "alice").await;
    assert!(!hit(&client.get("/about", &alice).await));
    for jar in [&alice, &sign_in(&client, "bob").await, &Jar::default()] {
        let answer = client.get("/about", jar).await;
        assert!(hit(&answer) && answer.body == "the page of anonymous", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_by_get_is_not_cached_for_the_next_user() {
    for ignored in &CARELESS[..2] {
        let site = Site::start().await;
        let (_nginx, client) = site.behind(&format!("{CACHE}{ignored}")).await;
        for name in ["alice", "bob"] {
            let anonymous = Jar::default();
            let answer = client.send("GET", "/callback?code=x", &anonymous, "", &[("x-name", name)]).await;
            assert_eq!((answer.status.as_u16(), hit(&answer)), (303, false), "{name}");
            let mut jar = Jar::default();
            jar.take(&answer);
            assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vary_separates_users_where_the_cache_ignores_cache_control() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind(&format!("{CACHE}{}", CARELESS[2])).await;
    let (mut alice, mut bob) = (sign_in(&client, "alice").await, sign_in(&client, "bob").await);
    for path in ["/silent", "/public", "/home", "/me"] {
        for _ in 0..3 {
            site.expire();
            for (jar, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
                for _ in 0..2 {
                    let answer = visit(&client, path, jar).await;
                    assert!(String::from_utf8_lossy(&answer.body).contains(name), "{path}: {answer:?}");
                    assert_eq!(answer.header("vary"), Some("cookie"));
                }
            }
        }
    }
}
