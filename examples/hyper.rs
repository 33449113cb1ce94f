//! The same layer around a plain hyper service, without axum.
//!
//! ```sh
//! cargo run --example hyper --no-default-features
//! curl -si -X POST 127.0.0.1:3000/login
//! ```

use std::{convert::Infallible, error::Error};

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::{ServiceBuilder, service_fn};
use tower_sliding_sessions::{Keyring, Rejection, Session, Sessions};

type Answer = Response<Full<Bytes>>;

async fn handle(sessions: Sessions, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let answer = route(&sessions, &request).await;
    Ok(answer.unwrap_or_else(Rejection::into_http))
}

async fn route(sessions: &Sessions, request: &Request<Incoming>) -> Result<Answer, Rejection> {
    let session = Session::<()>::of(request);
    match (request.method(), request.uri().path(), session) {
        (&Method::POST, "/login", _) => {
            let cookies = sessions.visitor(request)?.sign_in("ann", ()).await?;
            let mut answer = Response::new("Hello, ann.\n".into());
            cookies.apply(answer.headers_mut());
            Ok(answer)
        }
        (&Method::POST, "/logout", Some(session)) => {
            let cookies = session.sign_out().await?;
            let mut answer = Response::new("Bye.\n".into());
            cookies.apply(answer.headers_mut());
            Ok(answer)
        }
        (&Method::GET, "/", Some(session)) => {
            Ok(Response::new(format!("You are {}.\n", session.subject()).into()))
        }
        (&Method::GET, "/", None) => Ok(Response::new("Sign in with POST /login.\n".into())),
        _ => {
            let mut answer = Response::new("No such page.\n".into());
            *answer.status_mut() = StatusCode::NOT_FOUND;
            Ok(answer)
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(Keyring::random()?).build()?;
    let service = ServiceBuilder::new()
        .layer(sessions.layer().optional())
        .service(service_fn(move |request| handle(sessions.clone(), request)));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
    }
}
