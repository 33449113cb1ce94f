//! Services that only verify: they hold public keys and no secret. They need no store, but can follow the issuer's.

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

/// Verifies the access tokens of an issuer, in a service that holds public keys only. It needs no store, but can
/// [follow](VerifierBuilder::follow) the issuer's. Cheap to clone.
///
/// It accepts the tokens that [`Session::token_for`](crate::Session::token_for) minted for this service's
/// [audience](VerifierBuilder::audience), the [access tokens of
/// sessions](VerifierBuilder::accept_session_tokens), or both, as strictly as the issuer. `C` is the type of the claims
/// in them. It renews nothing and sets no cookies. See the [guide](crate::guide::verifying_services).
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
    /// Starts building, with the issuer's public keys.
    pub fn with_keys(keys: impl IntoIterator<Item = PublicKey>) -> VerifierBuilder<C> {
        VerifierBuilder::new(builder::Keys::Fixed(keys.into_iter().collect()))
    }

    /// Starts building, with the address of the issuer's JWK Set, such as
    /// `https://shop.example/.well-known/jwks.json`. The first request fetches the keys, and later requests fetch them
    /// again in the background.
    pub fn from_jwks(address: Uri, client: impl HttpClient) -> VerifierBuilder<C> {
        VerifierBuilder::new(builder::Keys::at(address, client))
    }

    /// The layer: admits requests with a valid access token as `Authorization: Bearer`, and with the access cookie if
    /// [that is accepted](VerifierBuilder::accept_cookie). Others get 401, unless it is
    /// [optional](SessionLayer::optional). Handlers take a [`Verified`].
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

    /// The token of a request that came through this verifier's [`layer`](Self::layer). None for an anonymous request.
    /// For services with several verifiers of one claims type; others use [`Verified`].
    ///
    /// # Errors
    /// A [`Rejection`] (500) if the request did not come through this verifier's layer.
    pub fn verified_of(&self, extensions: &Extensions) -> Result<Option<Verified<C>>, Rejection> {
        let found = Layered::session_of(extensions, self.engine.id);
        let found = found.inspect_err(|why| why.report::<C>("Verifier::verified_of"))?;
        Ok(found.map(Verified::found))
    }

    /// Replaces the keys. Tokens of other keys are invalid at once. Keys that were
    /// [fetched](Self::from_jwks) are replaced at the next fetch.
    pub fn set_keys(&self, keys: impl IntoIterator<Item = PublicKey>) {
        if let Some(jwks) = &self.jwks {
            jwks.forget();
        }
        self.engine.set_keys(Keyring::of_public(&keys.into_iter().collect::<Vec<_>>()));
    }

    /// Fetches the keys now, for example after the issuer pulled one. Does nothing for fixed keys, and within 10 s of
    /// the last fetch.
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

    /// Stops following the feed. Requests are still served, but each asks the store that was
    /// [followed](VerifierBuilder::follow).
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
