//! Sign-in and sign-out through an OpenID Connect provider: "sign in with Google", Keycloak, Entra ID, Okta, Auth0.
//!
//! [`Oidc::routes`] returns the routes. The [guide](crate::guide::single_sign_on) shows how to use them. In the terms
//! of the standards, the application is a relying party.
//!
//! | standard | supported |
//! |---|---|
//! | OpenID Connect Core 1.0 | code flow, confidential and public clients |
//! | RFC 7636 (PKCE) | S256, always |
//! | OpenID Connect Discovery 1.0 | the provider's addresses and keys. They are fetched at the first use and then once an hour. While the provider does not answer, the known addresses and keys are used for 24 hours. An unknown key causes a fetch at most once a minute, or once in 2 s after a failed fetch |
//! | RFC 9207 | the parameter `iss` |
//! | RP-Initiated Logout 1.0 | a sign-out here ends the provider's session |
//! | Back-Channel Logout 1.0 | the end of the provider's session revokes its sessions here |

mod attempt;
mod backchannel;
mod build;
mod identity;
mod index;
mod logout_token;
mod problem;
mod provider;
mod provider_session;
mod sign_in;
mod sign_out;
mod verify;

use std::{fmt, pin::Pin, sync::Arc};

use axum::{
    Router,
    response::Response,
    routing::{get, post},
};

use openidconnect::AccessToken;
use serde_json::{Map, Value};

use self::{attempt::Attempts, build::Settings, provider::ProviderCache};
pub use self::{
    build::{OidcBuildError, OidcBuilder},
    identity::{Identity, Tokens, User},
    problem::Problem,
};
use crate::{claims::Claims, sessions::Sessions};

type SigningIn<C> = Pin<Box<dyn Future<Output = Result<User<C>, Response>> + Send>>;

/// Sign-in and sign-out through one provider. Cheap to clone. See the [module](self).
#[doc(alias = "OpenID Connect")]
#[doc(alias = "single sign-on")]
#[doc(alias = "relying party")]
pub struct Oidc<C = ()> {
    inner: Arc<Inner<C>>,
}

struct Inner<C> {
    sessions: Sessions<C>,
    provider: Arc<ProviderCache>,
    attempts: Attempts,
    settings: Settings,
    /// Where browsers reach the routes, without a slash at the end.
    address: String,
    /// The path of `address`.
    prefix: String,
    sign_in: Box<dyn Fn(Identity) -> SigningIn<C> + Send + Sync>,
}

impl<C: Claims> Oidc<C> {
    /// Exchanges a refresh token of the provider for new tokens. Keep the returned tokens: many providers issue a new
    /// refresh token each time, and accept each refresh token only once. So exchange a refresh token on one instance at
    /// a time.
    ///
    /// # Errors
    /// [`Problem::AccessDenied`] if the provider refuses the refresh token (`invalid_grant`), for example because the
    /// user was locked. After any other error, the refresh token may still be valid.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, Problem> {
        let provider = self.inner.provider.get().await.map_err(|_| Problem::ProviderUnavailable)?;
        self.inner.refreshed(&provider, refresh_token.to_owned()).await
    }

    /// Asks the provider's userinfo endpoint about a user, with an access token of this user. Use it in the [claims
    /// reload hook](crate::SessionsBuilder::reload_claims).
    ///
    /// # Errors
    /// [`Problem::AccessDenied`] if the provider refuses the access token, for example because the user was locked.
    /// After any other error, the access token may still be valid.
    pub async fn userinfo(&self, access_token: &str, subject: &str) -> Result<Map<String, Value>, Problem> {
        let provider = self.inner.provider.get().await.map_err(|_| Problem::ProviderUnavailable)?;
        let token = AccessToken::new(access_token.to_owned());
        let answer = self.inner.userinfo_of(&provider, token, subject.to_owned()).await;
        answer.map_err(|failure| failure.problem)
    }

    /// The routes. Merge them into the application's router, outside of its session layers.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let at = |path: &str| format!("{}{path}", self.inner.prefix);
        Router::new()
            .route(&at("/sign-in"), get(sign_in::start::<C>))
            .route(&at("/sign-in/callback"), get(sign_in::callback::<C>))
            .route(&at("/sign-out"), post(sign_out::sign_out::<C>))
            .route(&at("/signed-out"), get(sign_out::signed_out::<C>))
            .route(&at("/backchannel-logout"), post(backchannel::logout::<C>))
            .with_state(self.inner.clone())
    }
}

impl<C> Clone for Oidc<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<C> fmt::Debug for Oidc<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc").field("address", &self.inner.address).finish_non_exhaustive()
    }
}
