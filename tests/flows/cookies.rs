//! The cookies: which ones are present, how long they live, and how they are removed.

use std::time::Duration;

use tower_sliding_sessions::{EventKind, RejectionKind};

use crate::support::{ABSOLUTE, ACCESS, Browser, GRACE, REFRESH, TTL, World, idle};

const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn missing_or_invalid_access_cookie_leaves_the_decision_to_the_refresh_token() {
    let world = World::new();
    let signed_in = world.signed_in("ann").await;
    let spoilt = |name: &str, value: Option<&str>| {
        let mut browser = signed_in.clone();
        match value {
            Some(value) => browser.plant(name, value),
            None => browser.lose(name),
        }
        browser
    };
    let none_at_all = {
        let mut browser = spoilt(ACCESS, None);
        browser.lose(REFRESH);
        browser
    };
    let nonsense = {
        let mut browser = spoilt(ACCESS, Some("a.b.c"));
        browser.plant(REFRESH, "a.b.c");
        browser
    };
    for (mut browser, status, renewed) in [
        (spoilt(ACCESS, None), 200, Some("Reissued")),
        (spoilt(ACCESS, Some("garbage")), 200, Some("Reissued")),
        (spoilt(ACCESS, Some("")), 200, Some("Reissued")),
        (spoilt(REFRESH, None), 200, None),
        (spoilt(REFRESH, Some("garbage")), 200, None),
        (none_at_all, 401, None),
        (nonsense, 401, None),
    ] {
        let answer = browser.visit(&world.one, "/me").await;
        assert_eq!((answer.status().as_u16(), answer.renewed()), (status, renewed), "{browser:?}");
        assert!(!answer.removes_cookies());
    }
    // Without a refresh token, only the access token is left.
    let mut browser = spoilt(REFRESH, None);
    world.pass(TTL);
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.status(), 401);
    assert!(answer.touches_no_cookie());
}

#[tokio::test]
async fn browser_that_lost_one_of_two_cookies_is_not_an_attacker() {
    // It kept an older refresh token and a newer access token, or the reverse.
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let old = browser.clone();
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    for (access, refresh) in [(&old, &browser), (&browser, &old)] {
        let mut mixed = Browser::new();
        mixed.plant(ACCESS, access.value(ACCESS).unwrap());
        mixed.plant(REFRESH, refresh.value(REFRESH).unwrap());
        assert!(mixed.visit(&world.one, "/me").await.ok());
        idle().await;
        world.pass(GRACE);
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn cookies_are_found_in_several_header_lines_and_among_malformed_ones() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let mut sent = browser.get("/me").with("cookie", None);
    for line in [
        b"theme=\xff\xfe; =; ;;".to_vec(),
        format!("a=b; {ACCESS}={}", browser.value(ACCESS).unwrap()).into_bytes(),
        format!("__%48ost-access=evil;\t{REFRESH}={} ;c", browser.value(REFRESH).unwrap()).into_bytes(),
    ] {
        sent.0.headers_mut().append("cookie", http::HeaderValue::from_bytes(&line).unwrap());
    }
    let answer = world.one.answer(sent).await;
    assert!(answer.ok() && answer.renewed().is_none());
}

#[tokio::test]
async fn cookies_last_for_the_browser_session_unless_remembered() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    assert_eq!((browser.max_age(ACCESS), browser.max_age(REFRESH)), (None, None));
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    assert_eq!((browser.max_age(ACCESS), browser.max_age(REFRESH)), (None, None));

    let mut browser = Browser::new();
    assert!(browser.submit(&world.one, "/login?name=ann&remember=true").await.ok());
    for gone in (0..5).map(|round| round * TTL) {
        let left = Some(ABSOLUTE - gone);
        assert_eq!((browser.max_age(ACCESS), browser.max_age(REFRESH)), (left, left), "the time left");
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.sets_both());
    }
}

#[tokio::test]
async fn remembered_cookie_lives_no_longer_than_browsers_allow() {
    let world = World::tuned(|builder| {
        let years = Duration::from_secs(1000 * DAY);
        builder.timing(|timing| timing.absolute_timeout(years).idle_timeout(years))
    });
    let mut browser = Browser::new();
    assert!(browser.submit(&world.one, "/login?name=ann&remember=true").await.ok());
    assert_eq!(browser.max_age(ACCESS), Some(400 * DAY));
    assert_eq!(browser.max_age(REFRESH), Some(400 * DAY));
}

/// The attributes of a `Set-Cookie` line, without value and lifetime.
fn attributes(line: &str) -> (String, Vec<&str>) {
    let mut parts = line.split("; ");
    let name = parts.next().unwrap().split('=').next().unwrap().to_owned();
    let lifetime = |part: &&str| !part.starts_with("Max-Age=") && !part.starts_with("Expires=");
    let mut attributes: Vec<_> = parts.filter(lifetime).collect();
    attributes.sort_unstable();
    (name, attributes)
}

#[tokio::test]
async fn cookies_are_removed_with_the_attributes_they_were_set_with() {
    let plain = World::new();
    let elsewhere = World::tuned(|builder| {
        builder.cookies(|cookies| cookies.names("a", "r").path("/login").domain("app.example"))
    });
    for world in [plain, elsewhere] {
        let mut browser = Browser::new();
        let set = browser.submit(&world.one, "/login?name=ann").await;
        let removed = browser.submit(&world.one, "/leave").await;
        assert!(
            removed
                .set_cookies()
                .iter()
                .all(|line| line.contains("; Max-Age=0; Expires=Thu, 01 Jan 1970")
                    || line.contains("Max-Age=0"))
        );
        let both = |answer: &crate::support::Answer| -> Vec<(String, Vec<String>)> {
            let lines = answer.set_cookies();
            let owned = lines.iter().map(|line| attributes(line));
            owned.map(|(name, rest)| (name, rest.iter().map(|part| (*part).to_owned()).collect())).collect()
        };
        assert_eq!(both(&set), both(&removed));
        assert!(browser.is_empty(), "{browser:?}");
    }
}

#[tokio::test]
async fn sign_out_removes_cookies_of_former_names_paths_and_domains() {
    let world = World::tuned(move |builder| {
        builder.cookies(|cookies| {
            cookies
                .former("session", "/", None)
                .former("session", "/", Some("example"))
                .former("session", "/old", None)
        })
    });
    for path in ["/logout", "/leave"] {
        let mut browser = world.signed_in("ann").await;
        let answer = browser.submit(&world.one, path).await;
        let lines = answer.set_cookies();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line.contains("Max-Age=0")));
        let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!((count("session=;"), count("Domain=example"), count("Path=/old")), (3, 1, 1));
    }
}

#[tokio::test]
async fn plain_http_cookies_have_other_names_and_work_on_loopback_only() {
    let world = World::tuned(|builder| builder.cookies(|cookies| cookies.insecure_plain_http()));
    assert_eq!(world.count(&EventKind::InsecurePlainHttp), 1);
    let mut browser = Browser::over_plain_http();
    let local = |sent: crate::support::Sent| {
        sent.with("host", Some("localhost:3000")).with("origin", Some("http://localhost:3000"))
    };
    let answer = world.one.answer(local(browser.post("/login?name=ann"))).await;
    assert!(answer.ok());
    assert!(answer.set_cookies().iter().all(|line| !line.contains("Secure") && line.contains("HttpOnly")));
    browser.receive(&answer);
    assert!(browser.value("access").is_some() && browser.value("refresh").is_some());
    for host in ["localhost", "127.0.0.1:3000", "[::1]:3000", "app.localhost"] {
        assert!(world.one.answer(browser.get("/me").with("host", Some(host))).await.ok(), "{host}");
    }
    for host in [Some("app.example"), Some("localhost.example"), Some("10.0.0.1"), None] {
        for sent in [browser.get("/me"), browser.get("/optional"), browser.post("/login?name=ann")] {
            let path = sent.0.uri().path().to_owned();
            let answer = world.one.answer(sent.with("host", host).with("origin", None)).await;
            assert_eq!(answer.rejection(), Some(RejectionKind::NotLoopback), "{path} at {host:?}");
            assert!(answer.touches_no_cookie());
        }
    }
}
