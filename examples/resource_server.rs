//! An issuer of sessions, and a billing service that only verifies: two processes. The service has the address of the
//! issuer's public keys, and neither a secret nor a store.
//!
//! ```sh
//! cargo run --example resource_server --features rust_crypto,jwks,verify,reqwest -- issuer 127.0.0.1:3000
//! cargo run --example resource_server --features rust_crypto,jwks,verify,reqwest -- billing 127.0.0.1:3001 http://127.0.0.1:3000
//!
//! curl -s -c jar -X POST 127.0.0.1:3000/login/ann
//! token=$(curl -s -b jar 127.0.0.1:3000/billing-token)
//! curl -s 127.0.0.1:3001/invoices -H "authorization: Bearer $token"
//! ```

use std::error::Error;

use axum::{
    Json, Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use tower_sliding_sessions::{
    CookieOptions, Keyring, Rejection, ReqwestClient, Session, Sessions, SetCookies, Verified, Verifier,
    Visitor,
};

const ISSUER: &str = "https://shop.example";
const BILLING: &str = "https://billing.example";

/// A throw-away key, as `openssl genpkey -algorithm ed25519` prints one. Make your own, and keep it outside of the
/// source.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ
-----END PRIVATE KEY-----";

async fn login(visitor: Visitor, Path(name): Path<String>) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, ()).by(["pwd"]).await?)
}

/// A token for the billing service, and for nothing else.
async fn billing_token(session: Session) -> Result<String, Rejection> {
    Ok(session.token_for(BILLING).scope("invoices:read").mint()?)
}

/// Has the secret.
fn issuer() -> Result<Router, Box<dyn Error>> {
    let sessions: Sessions = Sessions::builder(Keyring::ed25519_pem(PRIVATE_KEY)?)
        .issuer(ISSUER)
        .realm("shop")
        // Without TLS, on this machine only.
        .cookies(CookieOptions::insecure_plain_http)
        .build()?;
    Ok(Router::new()
        .route("/billing-token", get(billing_token))
        .route_layer(sessions.layer())
        .route("/login/{name}", post(login))
        .merge(sessions.jwks_routes())
        .with_state(sessions))
}

async fn invoices(token: Verified) -> Json<Value> {
    Json(json!({ "of": token.subject(), "asked_by": token.client_id(), "invoices": [] }))
}

async fn pay(token: Verified) -> (StatusCode, String) {
    (StatusCode::ACCEPTED, format!("paid for {}", token.subject()))
}

/// Has no secret: only the address of the issuer's public keys.
fn billing(issuer: &str) -> Result<Router, Box<dyn Error>> {
    let keys = format!("{issuer}/.well-known/jwks.json").parse()?;
    let verifier: Verifier =
        Verifier::from_jwks(keys, ReqwestClient::new()?).issuer(ISSUER).audience(BILLING).build()?;
    let read = Router::new()
        .route("/invoices", get(invoices))
        .route_layer(verifier.require().scope("invoices:read"));
    let write = Router::new().route("/pay", post(pay)).route_layer(verifier.require().scope("invoices:pay"));
    Ok(read.merge(write).route_layer(verifier.layer()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (app, address) = match &*arguments {
        ["issuer", address] => (issuer()?, address),
        ["billing", address, issuer] => (billing(issuer)?, address),
        _ => return Err("usage: resource_server issuer ADDRESS | billing ADDRESS ISSUER".into()),
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
