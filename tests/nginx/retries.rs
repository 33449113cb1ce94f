//! nginx sends a request that one instance does not answer to another: the same cookies, twice.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::{
    client::{Client, Jar},
    proxy::Nginx,
    site::{Site, confirm, sign_in, visit},
};

/// One instance renews and never responds, so nginx sends the request to another one, which receives it
/// `seconds` after the first did. In between, another tab has used the new cookies. Returns the statuses
/// of the request and of the tab, and the number of detected reuses.
async fn retried_after(seconds: u64, settings: &str) -> (u16, u16, usize) {
    let one = Site::start().await;
    let mut two = one.neighbour();
    // Connections wait here until the second instance serves.
    let listener = TcpListener::bind(two.address).await.expect("its port");
    let settings = format!("proxy_set_header Host $http_host; proxy_read_timeout 2s; {settings}");
    let nginx = Nginx::before(&[one.address, two.address], &settings).await;
    let (client, directly) = (nginx.client(), Client::to(one.address));
    let mut jar = sign_in(&directly, "alice").await;
    one.expire();
    let then: Jar = jar.clone();
    let retried = tokio::spawn(async move { client.get("/slow", &then).await });
    one.arrived(1).await;
    assert_eq!(visit(&directly, "/me", &mut jar).await.json()["renewed"], true);
    confirm(&directly, &jar).await;
    one.pass(seconds);
    two.probe.open.add_permits(1);
    two.serve(listener);
    let answer = retried.await.expect("no panic");
    let mut tab = visit(&directly, "/me", &mut jar).await;
    // The first instance learns of a revocation from the feed.
    for _ in 0..1000 {
        if one.reuses() == 0 || tab.status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        tab = visit(&directly, "/me", &mut jar).await;
    }
    (answer.status.as_u16(), tab.status.as_u16(), one.reuses())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_within_the_grace_period_is_served_and_a_later_one_is_reuse() {
    assert_eq!(retried_after(44, "").await, (200, 200, 0));
    // nginx's default is to wait for 60 s before a retry. See the manual.
    assert_eq!(retried_after(60, "").await, (401, 401, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_is_never_sent_and_no_session_ends_with_a_short_retry_timeout() {
    assert_eq!(retried_after(60, "proxy_next_upstream_timeout 1s;").await, (504, 200, 0));
}
