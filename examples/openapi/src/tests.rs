#[path = "../../../tests/support/browser.rs"]
mod browser;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, header::SET_COOKIE},
};
use serde_json::Value;
use tower_sliding_sessions::{Keyring, ManualClock, Sessions, Timestamp};

use self::browser::{Browser, text};
use super::sessions::Device;

const JSON: &str = "application/json";

fn app() -> (Router, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let builder = Sessions::builder(Keyring::random().expect("a key")).clock(clock.clone());
    (super::app(builder).expect("an application"), clock)
}

async fn document(app: &Router) -> Value {
    let answer = Browser::new(app).get("/openapi.json").await;
    assert_eq!(answer.headers()["content-type"], JSON);
    serde_json::from_str(&text(answer).await).expect("JSON")
}

#[tokio::test]
async fn each_described_route_exists_and_asks_for_a_session_if_the_document_says_so() {
    let (app, _) = app();
    let document = document(&app).await;
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 7);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let path = path.replace("{sid}", "AAAA");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path);
            let request = request.header("content-type", JSON).body(Body::from("{\"name\":\"ann\"}"));
            let status = Browser::new(&app).send(request.expect("a request")).await.status();
            let required = operation["security"]
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one != &serde_json::json!({})));
            assert_eq!(status == 401, required, "{method} {path}: {status}");
            assert!(operation["responses"].get(status.as_str()).is_some(), "{method} {path}: {status}");
        }
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["access"]["in"], "cookie");
    assert_eq!(schemes["refresh"]["name"], "__Host-refresh");
}

#[tokio::test]
async fn the_cookies_of_a_sign_in_have_the_described_names_and_the_list_has_the_described_shape() {
    let (app, clock) = app();
    let mut ann = Browser::new(&app);
    assert_eq!(ann.post("/login", JSON, "{\"name\":\"ann\"}").await.status(), 200);
    let document = document(&app).await;
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let described: Vec<_> = schemes.values().map(|scheme| scheme["name"].as_str().expect("a name")).collect();
    assert_eq!(ann.jar.names().collect::<Vec<_>>(), described);
    let mut phone = Browser::new(&app);
    clock.advance(Duration::from_secs(1));
    assert_eq!(phone.post("/login", JSON, "{\"name\":\"ann\"}").await.status(), 200);
    let listed = text(ann.get("/sessions").await).await;
    let devices: Vec<Device> = serde_json::from_str(&listed).expect("the described shape");
    assert_eq!(devices.iter().map(|device| device.current).collect::<Vec<_>>(), [true, false]);
    assert!(devices[0].created < devices[1].created && devices[0].last_seen < devices[0].expires);
    assert!(devices[0].from.is_none());
    let path = format!("/sessions/{}", devices[1].sid);
    let request = Request::delete(path).body(Body::empty()).expect("a request");
    assert_eq!(ann.send(request).await.status(), 204);
    assert_eq!(phone.get("/me").await.status(), 401);
}

#[tokio::test]
async fn an_expired_access_token_is_renewed_and_a_signed_out_session_is_refused() {
    let (app, clock) = app();
    let mut ann = Browser::new(&app);
    assert_eq!(ann.post("/login", JSON, "{\"name\":\"ann\"}").await.status(), 200);
    clock.advance(Duration::from_secs(20 * 60));
    let renewed = ann.get("/me").await;
    assert_eq!(renewed.headers().get_all(SET_COOKIE).iter().count(), 2);
    assert_eq!(text(renewed).await, "{\"name\":\"ann\"}");
    let mut copied = ann.clone();
    assert_eq!(ann.post("/sign-out", JSON, "").await.status(), 204);
    assert_eq!(ann.jar.names().count(), 0);
    assert_eq!(copied.get("/me").await.status(), 401);
}
