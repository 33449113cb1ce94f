//! The effect of a proxy on headers: the `Host` header, and the size limits.

use tower_sliding_sessions::RejectionKind;

use crate::{
    client::{Answer, Client},
    proxy::Nginx,
    site::{Site, sign_in, sign_in_with, visit},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_must_be_forwarded_with_its_port() {
    let site = Site::start().await;
    let post = async |settings: &str, headers: &[(&str, &str)]| {
        let nginx = Nginx::before(&[site.address], settings).await;
        let jar = sign_in(&nginx.client(), "alice").await;
        nginx.client().send("POST", "/me", &jar, "", headers).await
    };
    // A browser's page at this origin, over HTTPS, which ends at nginx.
    let old = ("origin", "https://127.0.0.1:3000");
    let new = ("sec-fetch-site", "same-origin");
    assert_eq!(post("proxy_set_header Host $http_host;", &[old]).await.status, 200);
    assert_eq!(post("proxy_set_header Host $http_host;", &[old, new]).await.status, 200);
    for settings in ["", "proxy_set_header Host $host;"] {
        let answer = post(settings, &[old]).await;
        assert_eq!(answer.status, 403, "{settings}");
        assert!(answer.json()["type"].to_string().contains(&format!("{:?}", RejectionKind::CrossSite)));
        assert_eq!(
            post(settings, &[old, new]).await.status,
            200,
            "`Sec-Fetch-Site` makes `Host` unnecessary"
        );
    }
    let elsewhere = ("origin", "https://evil.example");
    assert_eq!(post("proxy_set_header Host $http_host;", &[elsewhere]).await.status, 403);
}

/// The largest claims, in bytes, that fit into a cookie.
async fn largest_claims(client: &Client) -> usize {
    let mut largest = 0;
    for step in (0..12).rev().map(|power| 1 << power) {
        let (_, answer) = sign_in_with(client, "alice", largest + step).await;
        largest += if answer.status == 200 { step } else { 0 };
    }
    largest
}

fn bytes(answer: &Answer) -> usize {
    answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn largest_cookies_pass_through_nginx_with_its_default_buffers() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind("").await;
    let size = largest_claims(&client).await;
    let (mut jar, answer) = sign_in_with(&client, "alice", size).await;
    println!("with {size} bytes of claims, a sign-in has {} bytes of headers", bytes(&answer));
    for _ in 0..3 {
        site.expire();
        let answer = visit(&client, "/me", &mut jar).await;
        assert_eq!(answer.json()["renewed"], true);
        println!("and a renewal {}", bytes(&answer));
        assert_eq!(visit(&client, "/me", &mut jar).await.json()["renewed"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_cookies_next_to_large_headers_need_a_larger_buffer() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind("").await;
    let (_larger, with_more) = site.behind("proxy_buffer_size 8k;").await;
    let (mut jar, _) = sign_in_with(&client, "alice", largest_claims(&client).await).await;
    assert_eq!(visit(&client, "/verbose", &mut jar).await.status, 200);
    site.expire();
    for _ in 0..3 {
        assert_eq!(visit(&client, "/verbose", &mut jar).await.status, 502, "upstream sent too big header");
    }
    let answer = visit(&with_more, "/verbose", &mut jar).await;
    assert_eq!((answer.status.as_u16(), answer.set_cookies.len()), (200, 2));
    assert_eq!(visit(&client, "/verbose", &mut jar).await.status, 200);
    assert_eq!(site.reuses(), 0);
}
