//! Headers in special cases: caches, prefetches, event streams, frames, desktop shells and plain HTTP.

use std::sync::{Arc, Mutex};

use axum::{Router, response::IntoResponse, routing::any};
use tower_sliding_sessions::{
    EventKind, RedirectToLogin, Rejection, RejectionKind, Session, Severity, Visitor,
};

use crate::support::{ACCESS, Browser, Instance, Profile, REFRESH, Sent, TTL, Trouble, World};

const PUBLIC: [(&str, &str); 1] = [("cache-control", "public, max-age=600")];

fn around(world: &World, app: Router) -> Instance {
    Instance { app, ..world.one.clone() }
}

#[tokio::test]
async fn response_that_sets_our_cookies_is_not_stored_even_if_the_handler_says_public() {
    let world = World::new();
    let update = async |session: Session<Profile>| {
        let cookies = session.update(&Profile { role: "admin".into() }).await?;
        Ok::<_, Rejection>((cookies, PUBLIC, "updated"))
    };
    let sign_out = async |session: Session<Profile>| {
        let cookies = session.sign_out().await?;
        Ok::<_, Rejection>((cookies, PUBLIC, "signed out"))
    };
    let sign_in = async |visitor: Visitor<Profile>| {
        let cookies = visitor.sign_in("bob", Profile::default()).await?;
        Ok::<_, Rejection>((cookies, PUBLIC, "signed in"))
    };
    let by_hand = async || (PUBLIC, [("set-cookie", "__Host-access=x; Path=/; Secure")]).into_response();
    let theme = async || (PUBLIC, [("set-cookie", "theme=dark")]).into_response();
    let app = Router::new()
        .route("/update", any(update))
        .route("/by-hand", any(by_hand))
        .route("/theme", any(theme))
        .route("/sign-out", any(sign_out))
        .route_layer(world.one.sessions.layer())
        .merge(
            Router::new().route("/sign-in", any(sign_in)).route_layer(world.one.sessions.layer().optional()),
        )
        .with_state(world.one.sessions.clone());
    let app = around(&world, app);
    for path in ["/update", "/by-hand", "/sign-in", "/sign-out"] {
        let browser = world.signed_in("ann").await;
        let answer = app.answer(browser.post(path)).await;
        assert!(answer.ok(), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    let anonymous = app.answer(Browser::new().post("/sign-in")).await;
    assert_eq!(anonymous.header("cache-control"), Some("no-store"));
    // After the write window a renewal adds no cookies. A response with the handler's cookies is still
    // not stored.
    let late = world.signed_in("ann").await;
    world.pass(TTL);
    let answer = app.answer(late.post("/update")).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // The handler decides on caching for its own cookies.
    let answer = app.answer(world.signed_in("ann").await.get("/theme")).await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=600"));
}

#[tokio::test]
async fn prefetch_that_needs_a_renewal_gets_425() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let answer = world.one.answer(browser.get("/me").and("sec-purpose", "prefetch")).await;
    // Below 500: a load balancer must not take the instance out. Not 2xx: a browser would show the
    // response.
    assert_eq!(answer.status(), 425);
    assert_eq!(answer.rejection(), Some(RejectionKind::NotNow));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("retry-after"), None);
    assert!(answer.touches_no_cookie());
}

#[tokio::test]
async fn event_source_reconnects_after_an_outage() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    for accept in ["text/event-stream", "text/html, Text/Event-Stream;q=0.9"] {
        let answer = world.one.answer(browser.get("/stream").with("accept", Some(accept))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.touches_no_cookie());
        assert_eq!(answer.text().await, "retry: 3000\n\n");
    }
    for sent in [
        browser.get("/stream"),
        browser.get("/stream").with("accept", Some("*/*")),
        browser.post("/me").with("accept", Some("text/event-stream")),
    ] {
        assert_eq!(world.one.answer(sent).await.status(), 503);
    }
    world.store.recover();
    let stream = browser.get("/stream").with("accept", Some("text/event-stream"));
    assert!(world.one.answer(stream).await.sets_both());
    // Without a session there is nothing to reconnect for.
    let anonymous = Browser::new().get("/stream").with("accept", Some("text/event-stream"));
    assert_eq!(world.one.answer(anonymous).await.status(), 401);
}

fn framed(sent: Sent, dest: &str, referrer: Option<&str>) -> Sent {
    sent.with("origin", None)
        .with("sec-fetch-site", Some("cross-site"))
        .with("sec-fetch-mode", Some("navigate"))
        .with("sec-fetch-dest", Some(dest))
        .with("referer", referrer)
}

#[tokio::test]
async fn frame_of_a_trusted_parent_renews_and_sends_no_unsafe_request() {
    let world =
        World::tuned(|builder| builder.cookies(|cookies| cookies.trusted_parent("https://partner.example")));
    for (dest, referrer, renews) in [
        ("iframe", Some("https://partner.example/"), true),
        ("iframe", Some("https://partner.example"), true),
        ("iframe", Some("https://partner.example/page?q"), true),
        ("iframe", Some("https://partner.example.evil.example/"), false),
        ("iframe", Some("https://evil.example/https://partner.example/"), false),
        ("iframe", Some("https://partner.example@evil.example/"), false),
        ("iframe", Some("http://partner.example/"), false),
        ("iframe", Some("https://partner.example:8443/"), false),
        ("iframe", None, false),
        ("object", Some("https://partner.example/"), false),
        ("document", None, true),
    ] {
        let browser = world.signed_in("ann").await;
        world.pass(TTL);
        let answer = world.one.answer(framed(browser.get("/me"), dest, referrer)).await;
        assert_eq!(answer.sets_both(), renews, "{dest} {referrer:?}");
    }
    let browser = world.signed_in("ann").await;
    let post = framed(browser.post("/me"), "iframe", Some("https://partner.example/"));
    let post = post.with("origin", Some("https://partner.example"));
    assert_eq!(world.one.answer(post).await.rejection(), Some(RejectionKind::CrossSite));
}

#[tokio::test]
async fn partitioned_cookies_are_set_and_removed_with_the_attribute() {
    let world =
        World::tuned(|builder| builder.cookies(|cookies| cookies.partitioned().dangerous_same_site_none()));
    let mut browser = Browser::new();
    let signed_in = browser.submit(&world.one, "/login?name=ann").await;
    let signed_out = browser.submit(&world.one, "/logout").await;
    for line in signed_in.set_cookies().into_iter().chain(signed_out.set_cookies()) {
        assert!(line.contains("; SameSite=None") && line.contains("; Partitioned"), "{line}");
        assert!(line.contains("; Secure"), "{line}");
    }
    assert!(browser.is_empty());
    let plain = World::new().signed_in("ann").await;
    assert!(plain.value(ACCESS).is_some() && plain.value(REFRESH).is_some());
    let lax = World::new();
    let answer = lax.one.answer(Browser::new().post("/login?name=ann")).await;
    assert!(answer.set_cookies().iter().all(|line| !line.contains("Partitioned")));
}

#[tokio::test]
async fn former_cookies_are_removed_in_both_forms_once_the_cookies_are_partitioned() {
    let world = World::tuned(|builder| {
        builder.cookies(|cookies| {
            cookies.partitioned().dangerous_same_site_none().former("old", "/", Some("app.example"))
        })
    });
    let mut browser = Browser::new();
    for path in ["/login?name=ann", "/logout"] {
        let answer = browser.submit(&world.one, path).await;
        let (partitioned, plain): (Vec<_>, Vec<_>) = answer
            .set_cookies()
            .into_iter()
            .filter(|line| line.starts_with("old=;"))
            .partition(|line| line.contains("; Partitioned"));
        assert_eq!((partitioned.len(), plain.len()), (1, 1), "{path}");
    }
}

#[tokio::test]
async fn desktop_shells_and_extensions_are_trusted_by_origin() {
    for origin in ["tauri://localhost", "capacitor://localhost", "chrome-extension://abcdef"] {
        let world = World::tuned(move |builder| builder.cookies(|cookies| cookies.trusted_origin(origin)));
        let browser = world.signed_in("ann").await;
        let post = |from: &str| {
            browser.post("/me").with("sec-fetch-site", Some("cross-site")).with("origin", Some(from))
        };
        assert!(world.one.answer(post(origin)).await.ok(), "{origin}");
        assert_eq!(world.one.answer(post("tauri://elsewhere")).await.status(), 403);
        assert_eq!(world.one.answer(post("null")).await.status(), 403);
        let old = browser.post("/me").with("sec-fetch-site", None).with("origin", Some(origin));
        assert!(world.one.answer(old).await.ok(), "{origin}");
    }
}

#[tokio::test]
async fn only_documents_are_redirected_to_the_sign_in_page_unless_frames_are_included() {
    let world = World::new();
    let page = async || "never";
    let layer = |redirect| world.one.sessions.layer().with_reject(redirect);
    let documents = Router::new().route("/", any(page)).layer(layer(RedirectToLogin::new("/login")));
    let frames =
        Router::new().route("/", any(page)).layer(layer(RedirectToLogin::new("/login").frames_too()));
    let (documents, frames) = (around(&world, documents), around(&world, frames));
    for (mode, dest, document, frame) in [
        ("navigate", "document", 303, 303),
        ("navigate", "iframe", 401, 303),
        ("navigate", "frame", 401, 303),
        ("navigate", "embed", 401, 303),
        ("navigate", "object", 401, 303),
        ("no-cors", "image", 401, 401),
        ("cors", "empty", 401, 401),
    ] {
        let sent = || {
            let sent = Browser::new().get("/").with("accept", Some("text/html"));
            sent.with("sec-fetch-mode", Some(mode)).with("sec-fetch-dest", Some(dest))
        };
        assert_eq!(documents.answer(sent()).await.status(), document, "{mode} {dest}");
        assert_eq!(frames.answer(sent()).await.status(), frame, "{mode} {dest}");
    }
}

/// Events with their causes.
type Recorded = Arc<Mutex<Vec<(EventKind, Option<String>)>>>;

fn recorded() -> (World, Recorded) {
    let seen = Recorded::default();
    let recorder = seen.clone();
    let world = World::tuned(move |builder| {
        let recorder = recorder.clone();
        builder.on_event(move |event| {
            recorder.lock().unwrap().push((event.kind.clone(), event.cause.as_deref().map(str::to_owned)));
        })
    });
    (world, seen)
}

#[tokio::test]
async fn refused_cross_site_request_is_logged_with_method_host_and_origin() {
    let (world, seen) = recorded();
    let browser = Browser::new();
    // A proxy replaced `Host` by the name of the upstream.
    let sent = |path| browser.post(path).with("sec-fetch-site", None).with("host", Some("upstream:8080"));
    for path in ["/me", "/login?name=ann"] {
        assert_eq!(world.one.answer(sent(path)).await.rejection(), Some(RejectionKind::CrossSite));
    }
    let long = "x".repeat(10_000);
    let forged = browser.post("/me").with("sec-fetch-site", Some("cross-site")).with("origin", Some(&long));
    assert_eq!(world.one.answer(forged).await.rejection(), Some(RejectionKind::CrossSite));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for (kind, cause) in &seen[..2] {
        assert_eq!((kind, kind.severity()), (&EventKind::CrossSiteRefused, Severity::Debug));
        let cause = cause.as_deref().unwrap();
        let reported = r#"method POST host "upstream:8080" origin "https://app.example" sec-fetch-site none"#;
        assert_eq!(cause, reported);
    }
    assert!(seen[2].1.as_ref().unwrap().len() < 300);
}

#[tokio::test]
async fn secure_cookies_for_a_page_over_plain_http_are_warned_about_once() {
    let (world, seen) = recorded();
    let warned = || {
        let seen = seen.lock().unwrap();
        let is_warning = |kind: &EventKind| matches!(kind, EventKind::SecureCookiesOverPlainHttp { .. });
        seen.iter().filter(|(kind, _)| is_warning(kind)).map(|(kind, _)| kind.clone()).collect::<Vec<_>>()
    };
    let sign_in = async |host: &str, origin: &str| {
        let sent = Browser::new().post("/login?name=ann").with("sec-fetch-site", None);
        let answer = world.one.answer(sent.with("host", Some(host)).with("origin", Some(origin))).await;
        assert!(answer.ok(), "{host} {origin}");
    };
    for (host, origin) in [
        ("app.example", "https://app.example"),
        ("localhost:3000", "http://localhost:3000"),
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("[::1]:3000", "http://[::1]:3000"),
    ] {
        sign_in(host, origin).await;
        assert_eq!(warned(), [], "{origin}");
    }
    let refused = Browser::new().post("/me").with("host", Some("192.168.1.7")).with("origin", None);
    assert_eq!(world.one.answer(refused).await.status(), 401);
    assert_eq!(warned(), [], "only a sign-in warns");

    for host in ["192.168.1.7:3000", "192.168.1.7:3000", "box.local"] {
        sign_in(host, &format!("http://{host}")).await;
    }
    let expected = EventKind::SecureCookiesOverPlainHttp { host: "192.168.1.7:3000".to_owned() };
    assert_eq!(warned(), std::slice::from_ref(&expected));
    assert_eq!(expected.severity(), Severity::Warning);
}
