//! A request with a body, which nginx buffers until it is complete. The application receives it minutes
//! later, with cookies that are minutes old.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::body::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Answer, Client, Jar},
    proxy::Nginx,
    site::{Site, confirm, sign_in, visit},
};

/// The part that nginx sends on from memory, and the part that it buffers in a file.
const SMALL: usize = 1_000;
const LARGE: usize = 400_000;

/// An upload with one half sent, and the cookies of its start.
struct Upload {
    stream: TcpStream,
    bytes: usize,
    chunked: bool,
}

impl Upload {
    async fn begin(nginx: &Nginx, jar: &Jar, bytes: usize, chunked: bool) -> Self {
        let (cookies, length) = (jar.header(), format!("Content-Length: {bytes}"));
        let length = if chunked { "Transfer-Encoding: chunked" } else { &length };
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nConnection: close\r\nCookie: {cookies}\r\n{length}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(nginx.address).await.expect("nginx");
        stream.write_all(head.as_bytes()).await.expect("a connection");
        let mut upload = Self { stream, bytes, chunked };
        upload.send_half().await;
        upload
    }

    async fn send_half(&mut self) {
        let half = vec![b'x'; self.bytes / 2];
        let chunk = if self.chunked {
            [format!("{:x}\r\n", half.len()).as_bytes(), &half, b"\r\n"].concat()
        } else {
            half
        };
        self.stream.write_all(&chunk).await.expect("a connection");
    }

    /// Sends the rest.
    async fn finish(mut self) -> Answer {
        self.send_half().await;
        if self.chunked {
            self.stream.write_all(b"0\r\n\r\n").await.expect("a connection");
        }
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.expect("an answer");
        parse(&answer)
    }
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let (status, fields) = head.split_once("\r\n").expect("a status line");
    let status = status.split(' ').nth(1).and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok());
    let mut headers = HeaderMap::new();
    for field in fields.lines() {
        let (name, value) = field.split_once(": ").expect("a field");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let lines = headers.get_all(header::SET_COOKIE).iter();
    let set_cookies = lines.map(|line| line.to_str().expect("ASCII").to_owned()).collect();
    Answer { status: status.expect("a status"), headers, set_cookies, body: Bytes::from(body.to_owned()) }
}

/// Another request of the same browser renews, and its new refresh token is confirmed.
async fn rotate_meanwhile(client: &Client, jar: &mut Jar) {
    let before = jar.header();
    assert_eq!(visit(client, "/me", jar).await.json()["renewed"], true);
    assert_ne!(jar.header(), before);
    confirm(client, jar).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_that_outlasts_its_access_token_is_served_and_renewed() {
    for (bytes, chunked) in [(SMALL, false), (LARGE, false), (LARGE, true)] {
        let site = Site::start().await;
        let (nginx, client) = site.behind("").await;
        let mut jar = sign_in(&client, "alice").await;
        let upload = Upload::begin(&nginx, &jar, bytes, chunked).await;
        assert_eq!(*site.probe.arrived.borrow(), 0, "nginx buffers it");
        site.expire();
        let answer = upload.finish().await;
        assert_eq!((answer.status.as_u16(), &answer.json()["bytes"]), (200, &bytes.into()));
        assert_eq!(answer.set_cookies.len(), 2);
        jar.take(&answer);
        assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_upload_is_served_although_other_requests_rotate() {
    let site = Site::start().await;
    let (nginx, client) = site.behind("proxy_request_buffering off; proxy_http_version 1.1;").await;
    for (count, chunked) in [(1, false), (2, true)] {
        let mut jar = sign_in(&client, "alice").await;
        site.expire();
        let upload = Upload::begin(&nginx, &jar, LARGE, chunked).await;
        site.arrived(count).await;
        // It rotated, and its response with the new cookies is still to come.
        rotate_meanwhile(&client, &mut jar).await;
        site.pass(61);
        let answer = upload.finish().await;
        assert_eq!((answer.status.as_u16(), &answer.json()["bytes"]), (200, &LARGE.into()));
        assert!(answer.set_cookies.is_empty(), "after the write window");
        assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice");
    }
    assert_eq!((site.reuses(), site.stale()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_upload_after_other_rotations_is_refused_and_no_session_ends() {
    let site = Site::start().await;
    let (nginx, client) = site.behind("").await;
    for (round, (bytes, chunked)) in [(SMALL, false), (SMALL, true), (LARGE, false)].into_iter().enumerate() {
        let mut jar = sign_in(&client, "alice").await;
        site.expire();
        let upload = Upload::begin(&nginx, &jar, bytes, chunked).await;
        rotate_meanwhile(&client, &mut jar).await;
        site.pass(46);
        let answer = upload.finish().await;
        // If nginx is still sending when it is refused, the response may be lost.
        let status = answer.status.as_u16();
        assert!(status == 401 || bytes == LARGE && status == 502, "{answer:?}");
        assert!(answer.set_cookies.is_empty(), "the cookies stay unchanged");
        assert_eq!((site.stale(), site.reuses()), (round + 1, 0));

        assert_eq!(
            visit(&client, "/me", &mut jar).await.json()["sub"],
            "alice",
            "the session is still valid"
        );
        let again = Upload::begin(&nginx, &jar, bytes, chunked).await.finish().await;
        assert_eq!(again.status, 200, "the repeated upload is served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_buffered_for_less_than_the_grace_period_is_served_although_other_requests_rotate() {
    let site = Site::start().await;
    let (nginx, client) = site.behind("").await;
    let mut jar = sign_in(&client, "alice").await;
    site.expire();
    let upload = Upload::begin(&nginx, &jar, LARGE, false).await;
    rotate_meanwhile(&client, &mut jar).await;
    site.pass(44);
    assert_eq!(upload.finish().await.status, 200);
    assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice");
    assert_eq!((site.reuses(), site.stale()), (0, 0));
}
