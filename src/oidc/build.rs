//! The settings of a provider and its client.

use std::{fmt, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::Uri;
use openidconnect::{ClientId, ClientSecret, IssuerUrl, RedirectUrl};

use super::{
    Identity, Inner, Oidc, Problem, User,
    attempt::Attempts,
    problem::with_next,
    provider::{ProviderCache, Registration, is_trustworthy},
};
use crate::{
    claims::Claims,
    http_client::{DynHttpClient, HttpClient},
    middleware::safe_next,
    request::RequestHead,
    sessions::Sessions,
};

/// Why an [`Oidc`] cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OidcBuildError {
    /// The issuer is not a valid address. The address needs HTTPS, or HTTP for localhost only, and must have no query.
    #[error("{0:?} cannot be an issuer: it needs https, or http for localhost, and no query")]
    Issuer(String),
    /// The address of the routes is not valid. The address needs HTTPS, or HTTP for localhost only, and must have no
    /// query. Its path must not contain `{`, `}`, `*` or `:`.
    #[error("{0:?} cannot be the address of the routes: it needs https, or http for localhost, and no query")]
    Address(String),
    /// The client ID is empty.
    #[error("the client ID is empty")]
    ClientId,
    /// The page after a sign-out is not a path on this site.
    #[error("{0:?} is not a path on this site")]
    Path(String),
    /// `max_age` is shorter than the shortest possible session.
    #[error(
        "a max_age of {0:?} is shorter than access_ttl + rotation_interval + write_window, so no session could end in time"
    )]
    MaxAge(Duration),
}

/// Builds an [`Oidc`]. Created by [`Oidc::builder`].
#[must_use = "call `build`"]
pub struct OidcBuilder<C> {
    sessions: Sessions<C>,
    http: DynHttpClient,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    address: String,
    pub(super) settings: Settings,
}

/// The settings of sign-ins and sign-outs.
pub(super) struct Settings {
    pub(super) scopes: Vec<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) max_age: Option<Duration>,
    pub(super) userinfo: bool,
    pub(super) signed_out: String,
    pub(super) page: Option<Arc<ProblemPage>>,
}

type ProblemPage = dyn Fn(Problem, &str, &RequestHead<'_>) -> Response + Send + Sync;

impl<C: Claims> OidcBuilder<C> {
    pub(super) fn new(
        sessions: Sessions<C>,
        http: DynHttpClient,
        issuer: String,
        client_id: String,
        address: String,
    ) -> Self {
        let settings = Settings {
            scopes: Vec::new(),
            parameters: Vec::new(),
            max_age: None,
            userinfo: false,
            signed_out: "/".to_owned(),
            page: None,
        };
        Self { sessions, http, issuer, client_id, client_secret: None, address, settings }
    }

    /// The client secret. Default: none, for a public client. Every sign-in uses PKCE, with or without a secret.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.client_secret = Some(secret.into());
        self
    }

    /// Scopes in addition to `openid`, such as `email`, `profile` and `offline_access`. Default: none.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.settings.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// A parameter of the authorization request, such as `acr_values`, `hd` or `ui_locales`. Default: none.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.parameters.push((name.into(), value.into()));
        self
    }

    /// The longest time since the user authenticated at the provider (`max_age`). Default: no limit.
    ///
    /// If the user authenticated earlier, the provider asks the user to authenticate again. A session expires at the
    /// latest when this time has passed since the authentication. If the remaining time is too short for a session, the
    /// sign-in goes back to the provider, and asks for an authentication again. The minimum is
    /// `access_ttl + rotation_interval + write_window`, which is 10 minutes by default. With one hour or more, users
    /// are rarely asked twice.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = Some(age);
        self
    }

    /// Whether a sign-in also asks the userinfo endpoint. Default: no, because the ID token of most providers has the
    /// same claims.
    pub fn userinfo(mut self, yes: bool) -> Self {
        self.settings.userinfo = yes;
        self
    }

    /// The page after a sign-out: a path on this site. Default `/`.
    pub fn signed_out_page(mut self, path: impl Into<String>) -> Self {
        self.settings.signed_out = path.into();
        self
    }

    /// A function that writes the page about a problem. The second argument is the address of the sign-in, so that the
    /// user can try again. Default: [`Problem::page`].
    pub fn problem_page(
        mut self,
        page: impl Fn(Problem, &str, &RequestHead<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.settings.page = Some(Arc::new(page));
        self
    }

    /// Checks all settings, and builds. `sign_in` decides which user of this application the [`Identity`] is. If the
    /// user may not sign in, the error of `sign_in` is the response: a [`Problem`], a [`Rejection`](crate::Rejection)
    /// or a page of the application.
    ///
    /// # Errors
    /// [`OidcBuildError`] if a setting is missing or not valid.
    pub fn build<F, E>(
        self,
        sign_in: impl Fn(Identity) -> F + Send + Sync + 'static,
    ) -> Result<Oidc<C>, OidcBuildError>
    where
        F: Future<Output = Result<User<C>, E>> + Send + 'static,
        E: IntoResponse,
    {
        let Self { sessions, http, issuer, client_id, client_secret, mut address, settings } = self;
        let is_address = |text: &str| {
            text.parse().is_ok_and(|uri: Uri| is_trustworthy(&uri) && uri.query().is_none())
                && !text.contains('#')
        };
        let url = IssuerUrl::new(issuer.clone()).ok().filter(|_| is_address(&issuer));
        let url = url.ok_or_else(|| OidcBuildError::Issuer(issuer.clone()))?;
        address.truncate(address.trim_end_matches('/').len());
        let uri: Option<Uri> = address.parse().ok().filter(|_| is_address(&address));
        let uri = uri.ok_or_else(|| OidcBuildError::Address(address.clone()))?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        // In the paths of axum, these characters are patterns.
        if prefix.contains(['{', '}', '*', ':']) {
            return Err(OidcBuildError::Address(address));
        }
        let redirect = RedirectUrl::new(format!("{address}/sign-in/callback"))
            .map_err(|_| OidcBuildError::Address(address.clone()))?;
        if client_id.is_empty() {
            return Err(OidcBuildError::ClientId);
        }
        if safe_next(&settings.signed_out).is_none() {
            return Err(OidcBuildError::Path(settings.signed_out));
        }
        let engine = &sessions.engine;
        let policy = &engine.config.policy;
        let longest = policy.timing().absolute_timeout;
        if let Some(age) = settings.max_age
            && policy.session_timeouts(None, Some(age.min(longest))).is_err()
        {
            return Err(OidcBuildError::MaxAge(age));
        }
        let attempts = Attempts::new(
            engine.config.cookies.secure,
            &[&engine.config.realm, &issuer, &client_id, &address],
        );
        let registration = Registration {
            issuer: url,
            client_id: ClientId::new(client_id),
            client_secret: client_secret.map(ClientSecret::new),
            redirect,
        };
        let provider = Arc::new(ProviderCache::new(registration, http, engine.config.clock.clone()));
        let sign_in = move |identity| -> super::SigningIn<C> {
            let user = sign_in(identity);
            Box::pin(async move { user.await.map_err(IntoResponse::into_response) })
        };
        let inner =
            Inner { sign_in: Box::new(sign_in), sessions, provider, attempts, settings, address, prefix };
        Ok(Oidc { inner: Arc::new(inner) })
    }
}

impl<C: Claims> Oidc<C> {
    /// Starts a builder.
    ///
    /// `issuer` is the provider's address. The crate appends `/.well-known/openid-configuration` to it. `address` is
    /// the address at which browsers reach the [`routes`](Self::routes), such as `https://app.example.com/auth`. The
    /// paths of the routes begin with the path of `address`. Register these addresses at the provider:
    ///
    /// | name at the provider | address |
    /// |---|---|
    /// | redirect URI | `https://app.example.com/auth/sign-in/callback` |
    /// | post-logout redirect URI | `https://app.example.com/auth/signed-out` |
    /// | back-channel logout URI | `https://app.example.com/auth/backchannel-logout` |
    pub fn builder(
        sessions: &Sessions<C>,
        http: impl HttpClient,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        address: impl Into<String>,
    ) -> OidcBuilder<C> {
        let http = DynHttpClient::new(http);
        OidcBuilder::new(sessions.clone(), http, issuer.into(), client_id.into(), address.into())
    }
}

impl<C> Inner<C> {
    /// The page about a problem, with a link to the sign-in that leads to `next`.
    pub(super) fn page(&self, problem: Problem, next: &str, request: &RequestHead<'_>) -> Response {
        let retry = with_next(&format!("{}/sign-in", self.prefix), next);
        let mut response = match &self.settings.page {
            None => problem.page(&retry),
            Some(page) => page(problem, &retry, request),
        };
        super::problem::finish(&mut response);
        response
    }
}

/// Does not show the client secret.
impl<C> fmt::Debug for OidcBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcBuilder").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
