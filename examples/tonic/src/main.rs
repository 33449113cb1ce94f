//! How do I use sessions in gRPC, with tonic?
//!
//! ```sh
//! cargo run --manifest-path examples/tonic/Cargo.toml
//! ```
//!
//! One layer around the service accepts both: native clients send the access token as `authorization: Bearer …` in
//! the metadata, and renew it at `/oauth/token`. Browsers send cookies by gRPC-Web, and the layer renews them in
//! the same call. A method reads the session from the extensions of its request. Refusals are gRPC statuses.

use std::error::Error;

use axum::{
    Form, Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde::Deserialize;
use tonic::{Request, Response, Status, metadata::MetadataMap, service::Routes};
use tonic_web::GrpcWebLayer;
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
    oauth::{Grant, GrantError, OAuth},
};

use self::{
    accounts::accounts_server::{Accounts, AccountsServer},
    messages::{Empty, User},
};

mod accounts {
    #![allow(unused_qualifications, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/example.Accounts.rs"));
}
mod messages;
#[cfg(test)]
mod tests;

const TRY: &str = "\
curl -s -d 'grant_type=password&username=ann&password=swordfish' 127.0.0.1:3000/oauth/token
# Then, with grpcurl and a file of the service (see src/messages.rs):
grpcurl -plaintext -proto accounts.proto -H 'authorization: Bearer …' 127.0.0.1:3000 example.Accounts/WhoAmI
# Without a token, by HTTP/2: grpc-status 16 (unauthenticated)
printf '\\0\\0\\0\\0\\0' | curl -si --http2-prior-knowledge -H 'content-type: application/grpc' \\
    --data-binary @- 127.0.0.1:3000/example.Accounts/WhoAmI";

struct Service;

#[tonic::async_trait]
impl Accounts for Service {
    async fn who_am_i(&self, request: Request<Empty>) -> Result<Response<User>, Status> {
        let session = session(&request)?;
        Ok(Response::new(User { name: session.subject().to_owned() }))
    }

    async fn sign_out(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        let cookies = session(&request)?.sign_out().await.map_err(|error| status(&error.into()))?;
        // For a client with a bearer token this adds nothing.
        let mut headers = HeaderMap::new();
        cookies.apply(&mut headers);
        Ok(Response::from_parts(MetadataMap::from_headers(headers), Empty {}, Default::default()))
    }
}

fn session<T>(request: &Request<T>) -> Result<&Session, Status> {
    Session::from_extensions(request.extensions()).ok_or_else(|| Status::unauthenticated("sign in first"))
}

/// A refusal as a gRPC status.
fn status(rejection: &Rejection) -> Status {
    match rejection.status() {
        StatusCode::UNAUTHORIZED => Status::unauthenticated("sign in first"),
        StatusCode::FORBIDDEN => Status::permission_denied("not allowed"),
        StatusCode::SERVICE_UNAVAILABLE => Status::unavailable("try again later"),
        _ => Status::internal("internal error"),
    }
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

/// For browsers.
async fn login(visitor: Visitor, Form(login): Form<Login>) -> Result<SetCookies, Rejection> {
    if login.password != "swordfish" {
        return Err(Rejection::unauthenticated());
    }
    Ok(visitor.sign_in(login.name, ()).await?)
}

fn app(builder: SessionsBuilder) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    // For native clients.
    let oauth = OAuth::new(&sessions).grant("password", async |request| match request.password()? {
        "swordfish" => Ok(Grant::new(request.username()?, ())),
        _ => Err(GrantError::InvalidGrant),
    });
    let layer = sessions.layer().accept_bearer();
    let grpc = Routes::new(AccountsServer::new(Service))
        .into_axum_router()
        .route_layer(layer.with_rejection(|rejection, _| status(&rejection).into_http::<axum::body::Body>()))
        .route_layer(GrpcWebLayer::new()); // outside, so that refusals reach browsers as gRPC-Web, too
    Ok(Router::new()
        .route("/login", post(login))
        .with_state(sessions)
        .nest("/oauth", oauth.router())
        .merge(grpc))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
