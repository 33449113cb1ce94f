//! The example `single_sign_on`, as its text says.

use serde_json::json;
use tokio::net::TcpListener;
use tower_sliding_sessions::{Keyring, ReqwestClient, Sessions};

use crate::{
    answer,
    driver::Browser,
    example,
    site::{issuer, send},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_signs_in_asks_for_the_password_again_and_signs_out() {
    let (issuer, browser) = (issuer(), Browser::start().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
    let client = json!({
        "redirect_uris": [format!("{address}/auth/sign-in/callback")],
        "post_logout_redirect_uris": [format!("{address}/auth/signed-out")],
        // A public client.
        "token_endpoint_auth_method": "none",
    });
    let (_, client) = send("POST", &format!("{issuer}/reg"), "application/json", client.to_string()).await;
    let client_id = client["client_id"].as_str().expect("a text").to_owned();
    let registration =
        example::Registration { issuer, client_id, client_secret: None, address: address.clone() };
    let builder = Sessions::builder(Keyring::random().expect("random bytes"));
    let builder = crate::device_bound::device_bound(builder);
    let app = example::app(builder, ReqwestClient::new().expect("a client"), registration);
    let app = app.expect("valid settings");
    let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });

    browser.open(&format!("{address}/")).await;
    browser.click("#in").await;
    answer(&browser, "carol").await;
    browser.until("document.body.innerText.includes('Carol')").await;
    assert_eq!(browser.url().await, format!("{address}/account"));
    // She authenticated a moment ago.
    browser.click("#keys").await;
    browser.until("document.body.innerText.includes('a moment ago')").await;
    browser.open(&format!("{address}/auth/sign-in?reauthenticate&next=/account/keys")).await;
    answer(&browser, "carol").await;
    browser.until("document.body.innerText.includes('a moment ago')").await;
    browser.open(&format!("{address}/account")).await;
    browser.click("#out").await;
    browser.until("document.title == 'Sign out at the provider?'").await;
    browser.click("#yes").await;
    browser.until("document.querySelector('#in')").await;
    server.abort();
}
