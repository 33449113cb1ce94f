//! An HTTP/1.1 client with a cookie jar: to a remote server, or to a router in this process without
//! sockets, so that a thousand connections need no file handles.

use std::{collections::BTreeMap, error::Error, net::SocketAddr};

use axum::{
    Router,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    client, server,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

#[derive(Clone)]
pub(crate) struct Client(Server);

#[derive(Clone)]
enum Server {
    Router(Router),
    Address(SocketAddr),
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) set_cookies: Vec<String>,
    pub(crate) body: Bytes,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(BTreeMap<String, String>);

impl Client {
    pub(crate) fn new(router: Router) -> Self {
        Self(Server::Router(router))
    }

    pub(crate) fn to(address: SocketAddr) -> Self {
        Self(Server::Address(address))
    }

    pub(crate) async fn get(&self, path: &str, jar: &Jar) -> Answer {
        self.send("GET", path, jar, "", &[]).await
    }

    pub(crate) async fn post(&self, path: &str, jar: &Jar, body: &str) -> Answer {
        self.send("POST", path, jar, body, &[("content-type", "application/json")]).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        jar: &Jar,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.try_send(method, path, jar, body, headers).await.expect("an answer")
    }

    /// Like `send`, for servers that may be down.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        jar: &Jar,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:3000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !jar.0.is_empty() {
            request = request.header(header::COOKIE, jar.header());
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
        match &self.0 {
            Server::Address(address) => exchange(TcpStream::connect(address).await?, request).await,
            Server::Router(router) => {
                let (near, far) = tokio::io::duplex(64 * 1024);
                let service = TowerToHyperService::new(router.clone().into_service::<Incoming>());
                tokio::spawn(
                    server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service),
                );
                exchange(near, request).await
            }
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let lines = parts.headers.get_all(header::SET_COOKIE).iter();
    let set_cookies = lines.map(|line| line.to_str().expect("ASCII").to_owned()).collect();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, set_cookies, body })
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The value that the response sets a cookie to.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let lines = self.set_cookies.iter().filter(|line| !line.contains("Max-Age=0"));
        let pairs = lines.filter_map(|line| line.split(';').next()?.split_once('='));
        pairs.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next()
    }

    pub(crate) fn removes_a_cookie(&self) -> bool {
        self.set_cookies.iter().any(|line| line.contains("Max-Age=0"))
    }
}

impl Jar {
    /// The `Cookie` header.
    pub(crate) fn header(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    pub(crate) fn take(&mut self, answer: &Answer) {
        for line in &answer.set_cookies {
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a name and a value");
            if line.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
