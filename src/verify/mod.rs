//! Services that only verify access tokens. They hold public keys and no secret. They need no store, but can follow the
//! issuer's store.

mod builder;
#[cfg(feature = "axum")]
mod extract;
mod jwks;
mod stores;
mod verified;

pub use self::{builder::VerifierBuilder, verified::Verified};

use std::{fmt, sync::Arc};

use http::{Extensions, Uri};

use self::jwks::Jwks;
use crate::{
    claims::Claims,
    engine::EngineHandle,
    http_client::HttpClient,
    middleware::{Rejection, Require, SessionLayer},
    session::{Layered, know},
    time::Timestamp,
    token::{Keyring, PublicKey},
};

/// Verifies the access tokens of an issuer, in a service that holds only public keys. A verifier needs no store, but
/// can [follow](VerifierBuilder::follow) the issuer's store. Cheap to clone.
///
/// A verifier accepts the tokens that [`Session::token_for`](crate::Session::token_for) mints for this service's
/// [audience](VerifierBuilder::audience), the [access tokens of sessions](VerifierBuilder::accept_session_tokens), or
/// both. The checks are as strict as the issuer's checks. `C` is the type of the claims in the tokens. A verifier
/// renews no sessions and sets no cookies. See the [guide](crate::guide::verifying_services).
///
/// ```no_run
/// # #[cfg(all(feature = "axum", feature = "reqwest"))] mod example {
/// use axum::{Router, routing::get};
/// use tower_sliding_sessions::{ReqwestClient, Verified, Verifier};
///
/// async fn invoices(token: Verified) -> String {
///     format!("the invoices of {}", token.subject())
/// }
///
/// pub fn app() -> Result<Router, Box<dyn std::error::Error>> {
///     let keys = "https://shop.example/.well-known/jwks.json".parse()?;
///     let verifier: Verifier = Verifier::from_jwks(keys, ReqwestClient::new()?)
///         .issuer("https://shop.example")
///         .audience("https://billing.example")
///         .build()?;
///     Ok(Router::new()
///         .route("/invoices", get(invoices))
///         .route_layer(verifier.require().scope("invoices:read"))
///         .route_layer(verifier.layer()))
/// }
/// # }
/// ```
#[doc(alias = "resource server")]
#[doc(alias = "JWKS")]
pub struct Verifier<C = ()> {
    engine: EngineHandle<C>,
    jwks: Option<Arc<Jwks>>,
}

impl<C: Claims> Verifier<C> {
    /// Starts a builder with the issuer's public keys.
    pub fn with_keys(keys: impl IntoIterator<Item = PublicKey>) -> VerifierBuilder<C> {
        VerifierBuilder::new(builder::Keys::Fixed(keys.into_iter().collect()))
    }

    /// Starts a builder with the address of the issuer's JWK Set, such as `https://shop.example/.well-known/jwks.json`.
    /// The first request fetches the keys. Later requests fetch the keys again in the background.
    pub fn from_jwks(address: Uri, client: impl HttpClient) -> VerifierBuilder<C> {
        VerifierBuilder::new(builder::Keys::at(address, client))
    }

    /// The layer. Admits requests with a valid access token in `Authorization: Bearer`. Also admits requests with a
    /// valid access cookie, if [that is accepted](VerifierBuilder::accept_cookie). Other requests get 401, unless the
    /// layer is [optional](SessionLayer::optional). Handlers take a [`Verified`].
    #[must_use]
    pub fn layer(&self) -> SessionLayer<C> {
        self.engine.revocation.start();
        know::<C>();
        SessionLayer::new(self.engine.clone()).accept_bearer()
    }

    /// A layer that admits only some tokens: by role, scope or step-up. Put it inside [`layer`](Self::layer).
    pub fn require(&self) -> Require<C> {
        Require::new(self.engine.id)
    }

    /// The token of a request that came through this verifier's [`layer`](Self::layer). Returns `None` for an anonymous
    /// request. Use this method if a service has several verifiers of one claims type. Other services use [`Verified`].
    ///
    /// # Errors
    /// A [`Rejection`] (500) if the request did not come through this verifier's layer.
    pub fn verified_of(&self, extensions: &Extensions) -> Result<Option<Verified<C>>, Rejection> {
        let found = Layered::session_of(extensions, self.engine.id);
        let found = found.inspect_err(|why| why.report::<C>("Verifier::verified_of"))?;
        Ok(found.map(Verified::found))
    }

    /// Replaces the keys. Tokens that other keys signed are invalid at once. With [`from_jwks`](Self::from_jwks), the
    /// next fetch replaces these keys with the issuer's keys.
    pub fn set_keys(&self, keys: impl IntoIterator<Item = PublicKey>) {
        if let Some(jwks) = &self.jwks {
            jwks.forget();
        }
        self.engine.set_keys(Keyring::of_public(&keys.into_iter().collect::<Vec<_>>()));
    }

    /// Fetches the keys now, for example after the issuer has pulled a key. If a fetch is running, waits for that
    /// fetch. Does nothing if the keys are fixed, or if the last fetch began less than 10 s ago.
    pub async fn refresh_keys(&self) {
        if let Some(jwks) = &self.jwks {
            jwks.refresh().await;
        }
    }

    /// The time of the builder's [clock](VerifierBuilder::clock).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// Stops following the feed. Requests are still served, but each request asks the
    /// [followed](VerifierBuilder::follow) store.
    pub async fn shutdown(&self) {
        self.engine.shut_down().await;
    }
}

impl<C> Clone for Verifier<C> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), jwks: self.jwks.clone() }
    }
}

impl<C> fmt::Debug for Verifier<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("engine", &self.engine).field("jwks", &self.jwks).finish()
    }
}
