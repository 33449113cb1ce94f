//! nginx's own responses, while the application is unavailable or too slow, end no session.

use crate::site::{Site, sign_in, visit};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_502_during_a_restart_leaves_the_cookies_unchanged() {
    let mut site = Site::start().await;
    let (_nginx, client) = site.behind("").await;
    let mut jar = sign_in(&client, "alice").await;
    for _ in 0..3 {
        site.expire();
        site.stop().await;
        for _ in 0..5 {
            let answer = visit(&client, "/me", &mut jar).await;
            assert_eq!((answer.status.as_u16(), answer.set_cookies.len()), (502, 0));
        }
        site.pass(10 * 60);
        site.resume().await;
        let answer = visit(&client, "/me", &mut jar).await;
        assert_eq!((&answer.json()["sub"], &answer.json()["renewed"]), (&"alice".into(), &true.into()));
        assert_eq!(visit(&client, "/me", &mut jar).await.json()["renewed"], false);
    }
    assert_eq!(site.reuses(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_without_data_users_sign_in_again_despite_old_cookies() {
    let mut site = Site::start().await;
    let (_nginx, client) = site.behind("").await;
    let mut jar = sign_in(&client, "alice").await;
    site.stop().await;
    assert_eq!(visit(&client, "/me", &mut jar).await.status, 502);
    site.resume_empty().await;
    let answer = visit(&client, "/me", &mut jar).await;
    assert_eq!((answer.status.as_u16(), answer.set_cookies.len()), (401, 0));
    let answer = client.post("/login", &jar, r#"{"name":"alice"}"#).await;
    jar.take(&answer);
    assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_504_loses_only_the_renewed_cookies() {
    let site = Site::start().await;
    let (_nginx, client) = site.behind("proxy_read_timeout 1s;").await;
    let mut jar = sign_in(&client, "alice").await;
    for round in 1..=2 {
        site.expire();
        let before = jar.header();
        let answer = visit(&client, "/slow", &mut jar).await;
        assert_eq!((answer.status.as_u16(), answer.set_cookies.len()), (504, 0));
        assert_eq!(*site.probe.arrived.borrow(), round, "renewed, and the response was lost");
        assert_eq!(jar.header(), before);
        // The old cookies are still valid, at any later time.
        site.pass(30 * 60);
        let answer = visit(&client, "/me", &mut jar).await;
        assert_eq!((&answer.json()["sub"], &answer.json()["renewed"]), (&"alice".into(), &true.into()));
        assert_eq!(visit(&client, "/me", &mut jar).await.status, 200);
    }
    assert_eq!(site.reuses(), 0);
}
