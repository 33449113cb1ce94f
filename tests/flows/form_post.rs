//! A sign-in form that another site posts to us: Sign in with Apple, and SAML.

use axum::{Form, Router, middleware::from_fn, routing::post};
use serde::Deserialize;
use tower_sliding_sessions::{Rejection, RejectionKind, SetCookies, Visitor, repost_form};

use crate::support::{Browser, Instance, Profile, Sent, World};

#[derive(Deserialize)]
struct Posted {
    name: String,
}

async fn callback(visitor: Visitor<Profile>, Form(form): Form<Posted>) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_in(form.name, Profile::default()).await?)
}

fn app(world: &World) -> Instance {
    let routes = Router::new()
        .route("/callback", post(callback).layer(from_fn(repost_form)))
        .route("/other", post(callback))
        .with_state(world.one.sessions.clone());
    Instance { app: world.one.app.clone().merge(routes), ..world.one.clone() }
}

/// The provider's page posts the form. The browser does not send `SameSite=Lax` cookies.
fn from_provider(path: &str, form: &'static str) -> Sent {
    Browser::new()
        .post(path)
        .with("origin", Some("https://appleid.example"))
        .with("sec-fetch-site", Some("cross-site"))
        .with("content-type", Some("application/x-www-form-urlencoded"))
        .body(form)
}

#[tokio::test]
async fn form_of_another_site_is_posted_again_by_our_own_page_and_replaces_the_old_session() {
    let world = World::new();
    let app = app(&world);
    let mut browser = world.signed_in("ann").await;
    let answer = app.answer(from_provider("/callback?a=b", "name=bob&code=1%26%22%3E%3Cscript%3E")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let policy = answer.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("script-src 'sha256-") && policy.contains("form-action 'self'"), "{policy}");
    assert!(answer.touches_no_cookie(), "no sign-in yet");
    let page = answer.text().await;
    assert!(page.contains("<form method=post>"), "to the same URL: {page}");
    assert!(page.contains(r#"name="name" value="bob""#), "{page}");
    assert!(page.contains(r#"name="code" value="1&amp;&quot;&gt;&lt;script&gt;""#), "{page}");

    let again = browser
        .post("/callback?a=b")
        .with("content-type", Some("application/x-www-form-urlencoded"))
        .body("name=bob&code=1&posted_again=1");
    let answer = app.answer(again).await;
    assert!(answer.sets_both(), "{answer:?}");
    browser.receive(&answer);
    assert_eq!(browser.visit(&app, "/me").await.text().await, "bob");
    assert_eq!(world.one.sessions.list("ann").await.unwrap().len(), 0, "the old session is revoked");
}

#[tokio::test]
async fn other_routes_other_bodies_and_a_second_try_are_refused() {
    let world = World::new();
    let app = app(&world);
    for sent in [
        from_provider("/other", "name=bob"),
        from_provider("/login?name=bob", "name=bob"),
        from_provider("/callback", "name=bob").with("content-type", Some("text/plain")),
        from_provider("/callback", "name=bob").with("content-type", None),
        // A proxy rewrites `Host`: the second form looks like another site's too.
        from_provider("/callback", "name=bob&posted_again=1"),
    ] {
        let answer = app.answer(sent).await;
        assert_eq!(answer.rejection(), Some(RejectionKind::CrossSite), "{answer:?}");
        assert!(answer.touches_no_cookie());
    }
}

#[tokio::test]
async fn form_that_is_too_long_is_refused() {
    let world = World::new();
    let mut sent = from_provider("/callback", "");
    *sent.0.body_mut() = axum::body::Body::from(vec![b'x'; 300_000]);
    assert_eq!(app(&world).answer(sent).await.status(), 413);
}
