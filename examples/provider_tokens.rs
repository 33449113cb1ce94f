//! Where do I keep the tokens that GitHub, Google or Facebook gave to my user?
//!
//! In a vault: sealed, with the session, and never in a cookie. An access token that is about to expire is renewed by
//! one request to the provider, however many calls and instances need it. A sign-out deletes the tokens from the vault.
//!
//! ```sh
//! cargo run --example provider_tokens --features vault
//! ```

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_sliding_sessions::{
    BuildError, Clock, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, SystemClock,
    Visitor,
    vault::{Provider, RefreshError, TokenSet, Vault, VaultError},
};

const TRY: &str = "\
curl -s -c jar -d ann 127.0.0.1:3000/login  # the provider redirected back, and the code was exchanged
curl -b jar 127.0.0.1:3000/repositories
sleep 10; curl -b jar 127.0.0.1:3000/repositories  # by another access token
curl -b jar -c jar -d '' 127.0.0.1:3000/logout";

/// Stands in for the provider. In your application, `TokenEndpoint` asks the real one.
pub(crate) struct Upstream {
    clock: Arc<dyn Clock>,
    pub(crate) answers: AtomicU32,
}

impl Upstream {
    pub(crate) fn new(clock: impl Clock) -> Arc<Self> {
        Arc::new(Self { clock: Arc::new(clock), answers: AtomicU32::new(0) })
    }

    /// Its access tokens are valid for 20 seconds. Each refresh token is good for one request.
    fn answer(&self) -> TokenSet {
        let number = self.answers.fetch_add(1, Ordering::SeqCst);
        TokenSet::new(format!("access-{number}"))
            .with_refresh_token(format!("refresh-{number}"))
            .expires_at(self.clock.now() + Duration::from_secs(20))
    }

    async fn renew(&self, tokens: TokenSet) -> Result<TokenSet, RefreshError> {
        let last = self.answers.load(Ordering::SeqCst) - 1;
        let is_last = tokens.refresh_token() == Some(&format!("refresh-{last}"));
        if is_last { Ok(self.answer()) } else { Err(RefreshError::Refused) }
    }

    /// What the provider's API says to an access token.
    async fn repositories(&self, tokens: &TokenSet) -> String {
        format!("The repositories, as {} sees them.\n", tokens.access_token())
    }
}

#[derive(Clone, FromRef)]
struct Site {
    sessions: Sessions,
    vault: Vault,
    upstream: Arc<Upstream>,
}

async fn login(State(site): State<Site>, visitor: Visitor, name: String) -> Result<SetCookies, Response> {
    let tokens = site.upstream.answer();
    let sign_in = site.vault.sign_in(visitor.sign_in(name, ()), "github", &tokens).map_err(unusable)?;
    sign_in.await.map_err(|error| Rejection::from(error).into_response())
}

async fn repositories(State(site): State<Site>, session: Session) -> Result<String, Response> {
    let tokens = site.vault.access_token(&session, "github").await.map_err(unusable)?;
    Ok(site.upstream.repositories(&tokens).await)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unusable(error: VaultError) -> Response {
    match error {
        VaultError::Missing | VaultError::SignInAgain(_) => {
            (StatusCode::CONFLICT, "Connect your account at the provider again.\n").into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "Try again later.\n").into_response(),
    }
}

async fn logout(session: Session) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

pub(crate) fn app(builder: SessionsBuilder<()>, upstream: Arc<Upstream>) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    let asked = upstream.clone();
    let github = Provider::new("github").renew(move |tokens| {
        let upstream = asked.clone();
        async move { upstream.renew(tokens).await }
    });
    let vault = Vault::new(&sessions, [github]);
    Ok(Router::new()
        .route("/repositories", get(repositories))
        .route("/logout", post(logout))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(Site { sessions, vault, upstream }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?), Upstream::new(SystemClock))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
