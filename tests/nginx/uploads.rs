//! A request with a body, which nginx holds back until it has all of it: minutes later, to the
//! application, with the cookies of minutes ago.

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

/// What nginx keeps in memory and sends at once, and what it writes to a file first.
const SMALL: usize = 1_000;
const LARGE: usize = 400_000;

/// An upload of which one half was sent, by cookies of then.
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

/// Something else in the same browser renews, and its new refresh token is seen in use.
async fn rotate_meanwhile(client: &Client, jar: &mut Jar) {
    let before = jar.header();
    assert_eq!(visit(client, "/me", jar).await.json()["renewed"], true);
    assert_ne!(jar.header(), before);
    confirm(client, jar).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_across_the_end_of_an_access_token_is_served_and_renewed() {
    for (bytes, chunked) in [(SMALL, false), (LARGE, false), (LARGE, true)] {
        let site = Site::start().await;
        let (nginx, client) = site.behind("").await;
        let mut jar = sign_in(&client, "alice").await;
        let upload = Upload::begin(&nginx, &jar, bytes, chunked).await;
        assert_eq!(*site.door.arrived.borrow(), 0, "it is held back");
        site.expire();
        let answer = upload.finish().await;
        assert_eq!((answer.status.as_u16(), &answer.json()["bytes"]), (200, &bytes.into()));
        assert_eq!(answer.set_cookies.len(), 2);
        jar.take(&answer);
        assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_upload_is_served_however_often_others_rotate_meanwhile() {
    let site = Site::start().await;
    let (nginx, client) = site.behind("proxy_request_buffering off; proxy_http_version 1.1;").await;
    for (count, chunked) in [(1, false), (2, true)] {
        let mut jar = sign_in(&client, "alice").await;
        site.expire();
        let upload = Upload::begin(&nginx, &jar, LARGE, chunked).await;
        site.arrived(count).await;
        // It rotated, and its answer with the new cookies is still to come.
        rotate_meanwhile(&client, &mut jar).await;
        site.pass(61);
        let answer = upload.finish().await;
        assert_eq!((answer.status.as_u16(), &answer.json()["bytes"]), (200, &LARGE.into()));
        assert!(answer.set_cookies.is_empty(), "it is too late for those");
        assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice");
    }
    assert_eq!((site.reuses(), site.stale()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_held_back_while_others_rotate_is_refused_and_nobody_is_signed_out() {
    let site = Site::start().await;
    let (nginx, client) = site.behind("").await;
    for (round, (bytes, chunked)) in [(SMALL, false), (SMALL, true), (LARGE, false)].into_iter().enumerate() {
        let mut jar = sign_in(&client, "alice").await;
        site.expire();
        let upload = Upload::begin(&nginx, &jar, bytes, chunked).await;
        rotate_meanwhile(&client, &mut jar).await;
        site.pass(46);
        let answer = upload.finish().await;
        // Where nginx is still sending when it is refused, the answer may be lost.
        let status = answer.status.as_u16();
        assert!(status == 401 || bytes == LARGE && status == 502, "{answer:?}");
        assert!(answer.set_cookies.is_empty(), "its cookies stay");
        assert_eq!((site.stale(), site.reuses()), (round + 1, 0));

        assert_eq!(visit(&client, "/me", &mut jar).await.json()["sub"], "alice", "the session lives on");
        let again = Upload::begin(&nginx, &jar, bytes, chunked).await.finish().await;
        assert_eq!(again.status, 200, "sent again, it is served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_held_back_for_less_than_the_grace_is_served_although_others_rotate() {
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
