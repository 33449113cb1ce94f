#[path = "../../../tests/support/browser.rs"]
mod browser;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{
        Request, Response, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, LOCATION, SET_COOKIE},
    },
};
use tower_sliding_sessions::{Keyring, ManualClock, Sessions, Timestamp};

use self::browser::{Browser, text};

const FORM: &str = "application/x-www-form-urlencoded";

fn app() -> (Router, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let builder = Sessions::builder(Keyring::random().expect("a key")).clock(clock.clone());
    (super::app(builder).expect("an application"), clock)
}

/// As the page's form does it.
async fn submit(browser: &mut Browser, path: &str, form: &str, site: &str) -> Response<Body> {
    let request = Request::post(path)
        .header(CONTENT_TYPE, FORM)
        .header(ACCEPT, "text/html")
        .header("sec-fetch-site", site)
        .header("referer", "http://127.0.0.1:3000/");
    browser.send(request.body(Body::from(form.to_owned())).expect("a request")).await
}

#[tokio::test]
async fn a_form_signs_in_and_out_and_the_page_is_rendered_with_the_session() {
    let (app, clock) = app();
    let mut ann = Browser::new(&app);
    let page = text(ann.get("/").await).await;
    assert!(page.contains("action=\"/api/sign_in\""), "{page}");
    let signed_in = submit(&mut ann, "/api/sign_in", "name=ann&password=swordfish", "same-origin").await;
    assert_eq!(signed_in.status(), StatusCode::FOUND);
    assert_eq!(signed_in.headers()[LOCATION], "/");
    assert_eq!(ann.jar.names().count(), 2);
    let page = text(ann.get("/").await).await;
    assert!(page.contains("Hello, ") && page.contains("ann") && page.contains("/api/sign_out"), "{page}");
    clock.advance(Duration::from_secs(20 * 60));
    let renewed = ann.get("/").await;
    assert_eq!(renewed.headers().get_all(SET_COOKIE).iter().count(), 2);
    assert!(text(renewed).await.contains("/api/sign_out"));
    let mut copied = ann.clone();
    assert_eq!(submit(&mut ann, "/api/sign_out", "", "same-origin").await.status(), StatusCode::FOUND);
    assert_eq!(ann.jar.names().count(), 0);
    assert!(text(copied.get("/").await).await.contains("/api/sign_in"));
}

#[tokio::test]
async fn a_server_function_reads_the_session_and_refuses_without_one() {
    let (app, clock) = app();
    let mut ann = Browser::new(&app);
    assert_eq!(text(ann.post("/api/user_name", FORM, "").await).await, "null");
    assert_eq!(ann.post("/api/secret", FORM, "").await.status(), StatusCode::UNAUTHORIZED);
    let wrong = ann.post("/api/sign_in", FORM, "name=ann&password=wrong").await;
    assert_eq!((wrong.status(), ann.jar.names().count()), (StatusCode::UNAUTHORIZED, 0));
    // A script gets the way back in a header.
    let signed_in = ann.post("/api/sign_in", FORM, "name=ann&password=swordfish").await;
    assert_eq!((signed_in.status(), ann.jar.names().count()), (StatusCode::OK, 2));
    assert_eq!(text(ann.post("/api/user_name", FORM, "").await).await, "\"ann\"");
    clock.advance(Duration::from_secs(20 * 60));
    let renewed = ann.post("/api/secret", FORM, "").await;
    assert_eq!(renewed.headers().get_all(SET_COOKIE).iter().count(), 2);
    assert_eq!(text(renewed).await, "\"ann, the answer is 42.\"");
}

#[tokio::test]
async fn a_cross_site_request_neither_signs_in_nor_out() {
    let (app, _) = app();
    let mut ann = Browser::new(&app);
    let form = "name=eve&password=swordfish";
    assert_eq!(submit(&mut ann, "/api/sign_in", form, "cross-site").await.headers().get(SET_COOKIE), None);
    submit(&mut ann, "/api/sign_in", "name=ann&password=swordfish", "same-origin").await;
    let refused = submit(&mut ann, "/api/sign_out", "", "cross-site").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(text(ann.get("/").await).await.contains("/api/sign_out"));
}
