//! Example `resource_server`: an issuer and a service in two processes. And the client by `reqwest` over a real
//! connection.

#![expect(clippy::expect_used, reason = "a failed test is a panic")]

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Router, body::Body, response::Redirect, routing::get};
use http::{Request, Response, StatusCode};
use tower_sliding_sessions::{HttpClient as _, HttpClientError, ReqwestClient, ResponseLimit, Verifier};

/// A process, killed on drop.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// The binary of the example. Cargo puts examples next to the tests, and builds them before it runs the tests.
    fn start(arguments: &[&str]) -> Self {
        let test = std::env::current_exe().expect("a path");
        let folder: PathBuf = test.ancestors().nth(2).expect("the folder of the profile").join("examples");
        let mut command = Command::new(folder.join("resource_server"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("the example's binary");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn send(method: &str, url: String, headers: &[(&str, &str)]) -> Response<Vec<u8>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = ReqwestClient::new().expect("a client");
    client.send(request.body(Vec::new()).expect("a request")).await.expect("an answer")
}

#[tokio::test]
async fn service_verifies_by_the_keys_of_the_issuer_and_works_while_that_is_down() {
    let issuer = Process::start(&["issuer", "127.0.0.1:0"]);
    let billing = Process::start(&["billing", "127.0.0.1:0", &issuer.address]);
    let login = send("POST", format!("{}/login/ann", issuer.address), &[]).await;
    assert_eq!(login.status(), StatusCode::OK);
    let cookies: Vec<_> =
        login.headers().get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()).collect();
    let cookies: Vec<_> = cookies.iter().filter_map(|line| line.split(';').next()).collect();
    let cookies = cookies.join("; ");
    let token = send("GET", format!("{}/billing-token", issuer.address), &[("cookie", &cookies)]).await;
    let bearer = format!("Bearer {}", String::from_utf8(token.into_body()).expect("a token"));
    let ask = async |method, path: &str, headers: &[(&str, &str)]| {
        let answer = send(method, format!("{}{path}", billing.address), headers).await;
        let challenge =
            answer.headers().get("www-authenticate").map(|value| value.to_str().expect("ASCII").to_owned());
        (answer.status().as_u16(), challenge, String::from_utf8(answer.into_body()).expect("text"))
    };
    let (status, _, body) = ask("GET", "/invoices", &[("authorization", &bearer)]).await;
    assert_eq!((status, &*body), (200, r#"{"asked_by":"shop","invoices":[],"of":"ann"}"#));
    let (status, challenge, _) = ask("POST", "/pay", &[("authorization", &bearer)]).await;
    assert_eq!((status, challenge.as_deref()), (403, Some(r#"Bearer error="insufficient_scope""#)));
    let (status, challenge, _) = ask("GET", "/invoices", &[("cookie", &cookies)]).await;
    assert_eq!((status, challenge.as_deref()), (401, Some("Bearer")));
    // The session's own access token is not for this service.
    let access = cookies.split("; ").find_map(|pair| pair.strip_prefix("access=")).expect("the cookie");
    let (status, ..) = ask("GET", "/invoices", &[("authorization", &format!("Bearer {access}"))]).await;
    assert_eq!(status, 401);
    drop(issuer);
    assert_eq!(ask("GET", "/invoices", &[("authorization", &bearer)]).await.0, 200);
}

/// A server of bad answers.
async fn bad_server() -> String {
    let drip = async || {
        let parts = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Some((Ok::<_, std::io::Error>("{"), ()))
        });
        Body::from_stream(parts)
    };
    let endless = async || {
        let parts = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>("a".repeat(1 << 16)));
        Body::from_stream(parts)
    };
    let app = Router::new()
        .route("/redirect", get(async || Redirect::temporary("/keys")))
        .route("/keys", get(async || r#"{"keys":[]}"#))
        .route("/endless", get(endless))
        .route("/drip", get(drip));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn client_follows_no_redirect_and_stops_at_the_limit() {
    let address = bad_server().await;
    let client = ReqwestClient::new().expect("a client");
    let request = |path: &str, limit| {
        let request = Request::get(format!("{address}{path}")).extension(ResponseLimit(limit));
        request.body(Vec::new()).expect("a request")
    };
    let redirect = client.send(request("/redirect", 100)).await.expect("an answer");
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    assert!(matches!(client.send(request("/endless", 1 << 20)).await, Err(HttpClientError::TooLong(_))));
    assert!(matches!(client.send(request("/keys", 10)).await, Err(HttpClientError::TooLong(10))));
    assert_eq!(client.send(request("/keys", 11)).await.expect("an answer").body(), br#"{"keys":[]}"#);
    let nowhere = client.send(Request::get("http://127.0.0.1:1/").body(Vec::new()).expect("a request")).await;
    assert!(matches!(nowhere, Err(HttpClientError::Failed(_))), "{nowhere:?}");
}

#[tokio::test]
async fn slow_body_is_given_up_after_five_seconds() {
    let address = bad_server().await;
    let (told, mut causes) = tokio::sync::mpsc::unbounded_channel();
    let keys = format!("{address}/drip").parse().expect("an address");
    let verifier: Verifier = Verifier::from_jwks(keys, ReqwestClient::new().expect("a client"))
        .accept_session_tokens()
        .on_event(move |event| drop(told.send(event.cause.clone())))
        .build()
        .expect("valid settings");
    verifier.refresh_keys().await;
    let cause = causes.recv().await.expect("an event").expect("a cause");
    assert!(cause.contains("within 5s"), "{cause}");
}
