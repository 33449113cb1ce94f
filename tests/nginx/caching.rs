//! A cache that everybody shares, in front of pages that are somebody's.

use crate::{
    client::{Answer, Client, Jar},
    site::{Site, sign_in, visit},
};

/// Caches whatever it may.
const CACHE: &str =
    "proxy_cache pages; proxy_cache_valid any 10m; add_header X-Cache $upstream_cache_status always;";

/// What people add when nothing is cached.
const CARELESS: [&str; 3] =
    ["", "proxy_ignore_headers Set-Cookie;", "proxy_ignore_headers Set-Cookie Cache-Control Expires;"];

const OF_ALICE: &str = "the page of alice";
const OF_BOB: &str = "the page of bob";

fn hit(answer: &Answer) -> bool {
    answer.header("x-cache") == Some("HIT")
}

/// Two people in turn on one page, each with an access token that is fresh, over, and fresh again:
/// each sees their own page, and gets their own cookies.
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
                    // What the cache has for the same cookies does not reach the application.
                    let sets = renewed && time == 0 && !hit(&answer);
                    assert_eq!(!answer.set_cookies.is_empty(), sets, "{path}, {answer:?}");
                    let me = client.get("/me", jar).await;
                    assert!(page.ends_with(me.json()["sub"].as_str().expect("a name")), "{path}");
                }
            }
        }
        let nobody = client.get(path, &Jar::default()).await;
        assert_eq!(nobody.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_behind_one_cache_never_see_each_others_pages_or_cookies() {
    for ignored in &CARELESS[..2] {
        let site = Site::start().await;
        let (_nginx, client) = site.behind(&format!("{CACHE}{ignored}")).await;
        for path in ["/silent", "/public"] {
            each_sees_their_own(&site, &client, path).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_says_nothing_and_a_renewed_one_are_never_cached() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind(&format!("{CACHE}{}", CARELESS[1])).await;
    let mut jar = sign_in(&client, "alice").await;
    for _ in 0..3 {
        assert!(!hit(&visit(&client, "/silent", &mut jar).await));
    }
    for _ in 0..3 {
        site.expire();
        // The very request again, as a browser that never got the answer sends it.
        let then = jar.clone();
        for _ in 0..2 {
            let answer = client.get("/public", &then).await;
            assert!(!hit(&answer) && !answer.set_cookies.is_empty(), "{answer:?}");
            jar.take(&answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_its_handler_calls_public_is_cached_for_each_person() {
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
async fn a_page_for_anybody_is_cached_for_nobody_in_particular() {
    for ignored in &CARELESS[..2] {
        let site = Site::start().await;
        let (_nginx, client) = site.behind(&format!("{CACHE}{ignored}")).await;
        let (mut alice, mut bob) = (sign_in(&client, "alice").await, sign_in(&client, "bob").await);
        for round in 0..3 {
            let nobody = client.get("/home", &Jar::default()).await;
            assert_eq!((&nobody.body[..], hit(&nobody)), (&b"the page of nobody"[..], round > 0));
            site.expire();
            assert_eq!(visit(&client, "/home", &mut alice).await.body, OF_ALICE);
            assert_eq!(visit(&client, "/home", &mut bob).await.body, OF_BOB);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_and_outside_the_layer_is_cached_for_all() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind(CACHE).await;
    let alice = sign_in(&client, "alice").await;
    assert!(!hit(&client.get("/about", &alice).await));
    for jar in [&alice, &sign_in(&client, "bob").await, &Jar::default()] {
        let answer = client.get("/about", jar).await;
        assert!(hit(&answer) && answer.body == "the page of nobody", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_by_a_link_is_not_handed_to_the_next_person() {
    for ignored in &CARELESS[..2] {
        let site = Site::start().await;
        let (_nginx, client) = site.behind(&format!("{CACHE}{ignored}")).await;
        for name in ["alice", "bob"] {
            let nobody = Jar::default();
            let answer = client.send("GET", "/callback?code=x", &nobody, "", &[("x-name", name)]).await;
            assert_eq!((answer.status.as_u16(), hit(&answer)), (303, false), "{name}");
            let mut jar = Jar::default();
            jar.take(&answer);
            assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_even_cache_control_is_ignored_vary_still_keeps_people_apart() {
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
