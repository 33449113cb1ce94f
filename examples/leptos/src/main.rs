//! How do I use sessions in Leptos, with server functions?
//!
//! ```sh
//! cargo run --manifest-path examples/leptos/Cargo.toml
//! ```
//!
//! One layer is around the pages and the server functions. A server function extracts the session. Sign-in and
//! sign-out give their cookies to `ResponseOptions`. The page is rendered by the server, and its forms work without
//! a script. Hydration (cargo-leptos) changes nothing of this: the same server functions are called by `fetch`.

use std::error::Error;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

#[cfg(test)]
mod tests;

const TRY: &str = "\
open http://127.0.0.1:3000, or:
curl -i -c jar -d name=ann -d password=swordfish 127.0.0.1:3000/api/sign_in
curl -b jar 127.0.0.1:3000/
curl -b jar -d '' 127.0.0.1:3000/api/secret
curl -i -d '' 127.0.0.1:3000/api/secret  # 401";

/// None for an anonymous visitor.
#[server(endpoint = "user_name")]
async fn user_name() -> Result<Option<String>, ServerFnError> {
    let session: Option<Session> = leptos_axum::extract().await?;
    Ok(session.map(|session| session.subject().to_owned()))
}

/// Only for users: otherwise 401.
#[server(endpoint = "secret")]
async fn secret() -> Result<String, ServerFnError> {
    let session: Option<Session> = leptos_axum::extract().await?;
    let session = session.ok_or_else(|| refuse(Rejection::unauthenticated()))?;
    Ok(format!("{}, the answer is 42.", session.subject()))
}

#[server(endpoint = "sign_in")]
async fn sign_in(name: String, password: String) -> Result<(), ServerFnError> {
    // Check the password against your users here.
    if password != "swordfish" {
        return Err(refuse(Rejection::unauthenticated()));
    }
    let cookies = visitor().await?.sign_in(name, ()).await.map_err(refuse)?;
    send(cookies);
    Ok(())
}

#[server(endpoint = "sign_out")]
async fn sign_out() -> Result<(), ServerFnError> {
    let cookies = visitor().await?.sign_out().await.map_err(refuse)?;
    send(cookies);
    Ok(())
}

/// A request from another site is refused here.
async fn visitor() -> Result<Visitor, ServerFnError> {
    let parts = expect_context::<axum::http::request::Parts>();
    let request = Request::from_parts(parts, axum::body::Body::empty());
    expect_context::<Sessions>().visitor(&request).map_err(refuse)
}

/// Adds the cookies to the response, and with a form the way back to the page.
fn send(cookies: SetCookies) {
    let mut headers = HeaderMap::new();
    cookies.apply(&mut headers);
    let response = expect_context::<ResponseOptions>();
    for (name, value) in &headers {
        response.append_header(name.clone(), value.clone()); // `insert_header` would keep the last cookie only
    }
    leptos_axum::redirect("/");
}

/// The status of a refusal. Without it, Leptos answers with 500.
fn refuse(why: impl Into<Rejection>) -> ServerFnError {
    let status = why.into().status();
    expect_context::<ResponseOptions>().set_status(status);
    ServerFnError::new(status.canonical_reason().unwrap_or("refused"))
}

#[component]
fn Page() -> impl IntoView {
    let name = Resource::new(|| (), |()| user_name());
    let page = move || {
        Suspend::new(async move {
            match name.await.ok().flatten() {
                Some(name) => view! {
                    <p>"Hello, " {name} "."</p>
                    <ActionForm action={ServerAction::<SignOut>::new()}><button>"Sign out"</button></ActionForm>
                }
                .into_any(),
                None => view! {
                    <ActionForm action={ServerAction::<SignIn>::new()}>
                        <input name="name" placeholder="Name"/>
                        <input name="password" type="password" placeholder="swordfish"/>
                        <button>"Sign in"</button>
                    </ActionForm>
                }
                .into_any(),
            }
        })
    };
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head><title>"Sessions in Leptos"</title></head>
            <body><Suspense>{page}</Suspense></body>
        </html>
    }
}

fn app(builder: SessionsBuilder) -> Result<Router, BuildError> {
    // An error means that the executor was set before. With leptos_router, `generate_route_list` sets it.
    let _ = any_spawner::Executor::init_tokio();
    let sessions = builder.build()?;
    let layer = sessions.layer().optional();
    let context = move || provide_context(sessions.clone());
    let page = leptos_axum::render_app_async_with_context(context.clone(), || view! { <Page/> });
    let function =
        move |request: Request| leptos_axum::handle_server_fns_with_context(context.clone(), request);
    Ok(Router::new()
        .route("/", get(page))
        .route("/api/{*function}", post(function))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(layer))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
