//! The endpoints accept one form, and nothing else.

use axum::body::Body;
use http::{Request, header};

use crate::support::{World, form};

const PATHS: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"];

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    form(path).header("authorization", "Basic c2VydmljZQ==").body(body.into()).unwrap()
}

#[tokio::test]
async fn only_post_is_accepted() {
    let world = World::new();
    for path in PATHS {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            let answer = world.ask(method, path, &[]).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("POST"));
            assert!(method == "HEAD" || answer.is_error(405, "invalid_request"));
        }
    }
}

#[tokio::test]
async fn only_a_form_is_accepted() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let body = format!("token={}", client.access);
    for path in PATHS {
        for kind in ["application/json", "multipart/form-data; boundary=x", "text/plain", ""] {
            let mut request = post(path, body.clone());
            request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert!(world.send(request).await.is_error(400, "invalid_request"), "{path} {kind}");
        }
        let mut request = post(path, body.clone());
        request.headers_mut().remove(header::CONTENT_TYPE);
        assert!(world.send(request).await.is_error(400, "invalid_request"), "{path}");
        let mut request = post(path, body.clone());
        request.headers_mut().append(header::CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(world.send(request).await.is_error(400, "invalid_request"), "{path}");
    }
    assert_eq!(client.get(&world, "/me").await.status, 200, "the token is still valid");
    let mut request = post("/oauth/revoke", body);
    let kind = "Application/X-WWW-Form-Urlencoded ; charset=UTF-8".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    assert_eq!(world.send(request).await.status, 200);
}

#[tokio::test]
async fn repeated_parameter_is_refused() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    for extra in ["token=x", "%74oken=x", "token=", "a=1&a=1", "&b&b"] {
        for path in PATHS {
            let request = post(path, format!("token={}&{extra}", client.refresh));
            assert!(world.send(request).await.is_error(400, "invalid_request"), "{path} {extra}");
        }
    }
    let twice = "grant_type=password&username=ann&password=right&grant_type=password";
    assert!(world.send(post("/oauth/token", twice)).await.is_error(400, "invalid_request"));
    assert_eq!(client.get(&world, "/me").await.status, 200, "the token is still valid");
}

#[tokio::test]
async fn body_above_16_kilobytes_is_not_read_to_its_end() {
    let world = World::new();
    for path in PATHS {
        let full = format!("token=a&x={}", "y".repeat(16 * 1024 - 10));
        assert_eq!(full.len(), 16 * 1024);
        let answer = world.send(post(path, full.clone())).await;
        assert!(answer.json["error_description"] != "the body is too long, or was cut off", "{answer:?}");
        assert!(world.send(post(path, full + "z")).await.is_error(400, "invalid_request"));
        assert!(world.send(post(path, vec![b'='; 1 << 22])).await.is_error(400, "invalid_request"));
    }
}

#[tokio::test]
async fn malformed_form_is_refused_and_makes_no_store_call() {
    let world = World::new();
    let long = "x".repeat(5000);
    for garbage in [
        "",
        "&",
        "=",
        "%",
        "%zz=%",
        "grant_type",
        "grant_type=\u{0}",
        "grant_type=refresh_token&refresh_token=%FF",
        "grant_type=refresh_token&refresh_token=a.b.c",
        "grant_type=refresh_token&refresh_token=..",
        &format!("grant_type=refresh_token&refresh_token={long}"),
        &format!("grant_type={long}"),
        "{\"grant_type\":\"password\"}",
    ] {
        let answer = world.send(post("/oauth/token", garbage.to_owned())).await;
        assert_eq!(answer.status, 400, "{garbage}: {answer:?}");
        assert!(answer.is_not_stored());
    }
    for bytes in [&b"token=\xff\xfe"[..], b"\xc0\x80=token", b"token=%C0%80"] {
        for path in PATHS {
            assert!(world.send(post(path, bytes.to_vec())).await.is_error(400, "invalid_request"));
        }
    }
    assert_eq!(world.store.all_calls(), 0);
}

#[tokio::test]
async fn parameters_in_the_query_are_ignored() {
    let world = World::new();
    let path = "/oauth/token?grant_type=password&username=ann&password=right";
    assert!(world.post(path, &[]).await.is_error(400, "invalid_request"));
}

#[tokio::test]
async fn plain_http_is_accepted_on_loopback_only() {
    let world = World::tuned(|builder| builder.cookies(|cookies| cookies.insecure_plain_http()));
    let password = "grant_type=password&username=ann&password=right";
    let mut near = post("/oauth/token", password);
    near.headers_mut().insert(header::HOST, "localhost:3000".parse().unwrap());
    assert_eq!(world.send(near).await.status, 200);
    for path in PATHS {
        let body = format!("{password}&token=a");
        assert!(world.send(post(path, body)).await.is_error(403, "invalid_request"));
    }
}

#[tokio::test]
async fn more_parameters_than_any_grant_has_are_refused() {
    let world = World::new();
    for (count, too_many) in [(64, false), (65, true), (1500, true)] {
        let parameters: Vec<_> = (0..count).map(|n| format!("p{n}=x")).collect();
        let answer = world.send(post("/oauth/token", parameters.join("&"))).await;
        assert!(answer.is_error(400, "invalid_request"), "{answer:?}");
        let says = answer.json["error_description"] == "there are too many parameters";
        assert_eq!(says, too_many, "{count}");
    }
}
