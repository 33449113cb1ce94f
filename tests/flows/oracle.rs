//! The unsafe requests that are refused, compared with tower-http's `csrf` layer, which follows Go's
//! `CrossOriginProtection`, for every combination of the relevant headers.

use axum::body::Body;
use http::{Method, Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::csrf::CsrfLayer;
use tower_sliding_sessions::Sessions;

use crate::support::{Profile, World};

const FRIEND: &str = "https://friend.example";

const METHODS: [&str; 9] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"];
const TARGETS: [&str; 4] = ["/page", "https://app.example/page", "https://app.example:8443/page", "*"];
const SITES: [Option<&[u8]>; 8] = [
    None,
    Some(b""),
    Some(b"same-origin"),
    Some(b"none"),
    Some(b"same-site"),
    Some(b"cross-site"),
    Some(b"Same-Origin"),
    Some(b"\xff"),
];
const ORIGINS: [Option<&[u8]>; 14] = [
    None,
    Some(b""),
    Some(b"null"),
    Some(b"https://app.example"),
    Some(b"http://app.example"),
    Some(b"https://app.example:8443"),
    Some(b"https://APP.example"),
    Some(b"https://evil.example"),
    Some(b"https://friend.example"),
    Some(b"https://friend.example/"),
    Some(b"ftp://app.example"),
    Some(b"app.example"),
    Some(b"https://user@app.example"),
    Some(b"\xff\xfe"),
];
const HOSTS: [Option<&[u8]>; 5] =
    [None, Some(b""), Some(b"app.example"), Some(b"app.example:8443"), Some(b"friend.example")];

fn request(method: &str, target: &str, headers: [(&'static str, Option<&[u8]>); 3]) -> Option<Request<Body>> {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(target);
    for (name, value) in headers {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    request.body(Body::empty()).ok()
}

/// Whether a layer around a service that answers every request admits this one.
async fn passes<S, B>(service: S, request: Request<Body>) -> bool
where
    S: tower::Service<Request<Body>, Response = Response<B>, Error = std::convert::Infallible>,
{
    service.oneshot(request).await.unwrap().status() != 403
}

async fn admit(_: Request<Body>) -> Result<Response<Body>, std::convert::Infallible> {
    Ok(Response::new(Body::empty()))
}

#[tokio::test]
async fn layer_and_visitor_decide_as_tower_http_does() {
    let world = World::tuned(|builder| builder.cookies(|cookies| cookies.trusted_origin(FRIEND)));
    let sessions: &Sessions<Profile> = &world.one.sessions;
    let ours = sessions.layer().optional().layer(service_fn(admit));
    let oracle = CsrfLayer::new().add_trusted_origin(FRIEND).unwrap().layer(service_fn(admit));

    let (mut compared, mut refused) = (0, 0);
    for method in METHODS {
        for target in TARGETS {
            for site in SITES {
                for origin in ORIGINS {
                    for host in HOSTS {
                        let headers = [("sec-fetch-site", site), ("origin", origin), ("host", host)];
                        let make = || request(method, target, headers).unwrap();
                        let expected = passes(oracle.clone(), make()).await;
                        let reported = format!("{method} {target} {headers:?}");
                        assert_eq!(passes(ours.clone(), make()).await, expected, "the layer: {reported}");
                        assert_eq!(sessions.visitor(&make()).is_ok(), expected, "the visitor: {reported}");
                        compared += 1;
                        refused += usize::from(!expected);
                    }
                }
            }
        }
    }
    assert_eq!(compared, 9 * 4 * 8 * 14 * 5);
    assert!(refused > compared / 3 && refused < compared * 2 / 3, "{refused} of {compared}");
}

#[tokio::test]
async fn repeated_headers_and_cross_site_websockets_are_refused_though_tower_http_admits_them() {
    let world = World::new();
    let ours = world.one.sessions.layer().optional().layer(service_fn(admit));
    let oracle = CsrfLayer::new().layer(service_fn(admit));
    for (method, headers) in [
        ("POST", [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]),
        ("POST", [("origin", "https://app.example"), ("origin", "https://evil.example")]),
        ("GET", [("upgrade", "websocket"), ("sec-fetch-site", "cross-site")]),
    ] {
        let make = || {
            let mut request = Request::builder().method(method).uri("/").header("host", "app.example");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.body(Body::empty()).unwrap()
        };
        assert!(passes(oracle.clone(), make()).await, "{headers:?}");
        assert!(!passes(ours.clone(), make()).await, "{headers:?}");
    }
}
