//! Routes with the public keys as a JWK Set (RFC 7517) for services that verify access tokens, and with the metadata
//! that names the address of the JWK Set.

use std::sync::atomic::Ordering;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{claims::Claims, engine::JWKS_MAX_AGE, sessions::Sessions};

const JWKS_PATH: &str = "/.well-known/jwks.json";

impl<C: Claims> Sessions<C> {
    /// Routes for services that verify access tokens with public keys. The routes need no session.
    ///
    /// | route | response |
    /// |---|---|
    /// | `GET /.well-known/jwks.json` | the public keys as a JWK Set: each Ed25519 key, ES256 key and public key that verifies tokens here. A `custom` key is in the set if it has a [public key](crate::Keyring::with_public_key) |
    /// | `GET /.well-known/openid-configuration` | `issuer`, `jwks_uri` and an empty `response_types_supported`, if the [issuer](crate::SessionsBuilder::issuer) is a URL |
    /// | `GET /.well-known/oauth-authorization-server` | the same metadata (RFC 8414), if the URL has no path |
    ///
    /// An HS256 secret is never in the set. So the set is empty if all keys are HS256 secrets. The responses have an
    /// `ETag`, and `Cache-Control: public, max-age=300`. So publish a key at least 5 minutes before you promote it. If
    /// a key signs earlier, the event is [`KeyPromotedEarly`](crate::EventKind::KeyPromotedEarly). For these 5 minutes,
    /// a service may also accept a key that you have pulled.
    ///
    /// Merge the routes at the root of the issuer's URL. If the issuer is `https://example.org/id`, nest the routes
    /// under `/id`.
    ///
    /// ```
    /// # use axum::Router;
    /// # use tower_sliding_sessions::Sessions;
    /// fn app(sessions: Sessions) -> Router {
    ///     Router::new().merge(sessions.jwks_routes())
    /// }
    /// ```
    #[doc(alias = "jwks.json")]
    #[doc(alias = "discovery")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    pub fn jwks_routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.engine.serves_jwks.store(true, Ordering::Relaxed);
        let mut routes = Router::new().route(JWKS_PATH, get(jwks::<C>));
        if let Some(Issuer { metadata, has_path }) = self.engine.tokens.codec().issuer().and_then(issuer) {
            let show = |metadata: String| {
                get(async move |headers: HeaderMap| respond("application/json", metadata, &headers))
            };
            routes = routes.route("/.well-known/openid-configuration", show(metadata.clone()));
            if !has_path {
                routes = routes.route("/.well-known/oauth-authorization-server", show(metadata));
            }
        }
        routes.with_state(self.clone())
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    jwks_uri: String,
    /// RFC 8414 requires this member. It is empty, because there is no authorization endpoint.
    response_types_supported: [&'a str; 0],
}

struct Issuer {
    metadata: String,
    has_path: bool,
}

/// The metadata of an issuer (RFC 8414, section 2). Returns `None` if the issuer is not a URL.
fn issuer(issuer: &str) -> Option<Issuer> {
    let rest = issuer.strip_prefix("https://").or_else(|| issuer.strip_prefix("http://"))?;
    if rest.is_empty() || rest.contains(['?', '#']) {
        return None;
    }
    let has_path = rest.split_once('/').is_some_and(|(_, path)| !path.is_empty());
    let jwks_uri = format!("{}{JWKS_PATH}", issuer.strip_suffix('/').unwrap_or(issuer));
    let metadata = serde_json::to_string(&Metadata { issuer, jwks_uri, response_types_supported: [] });
    Some(Issuer { metadata: metadata.ok()?, has_path })
}

async fn jwks<C: Claims>(State(sessions): State<Sessions<C>>, headers: HeaderMap) -> Response {
    sessions.engine.follow_key_file();
    respond("application/jwk-set+json", sessions.keys().jwk_set(), &headers)
}

/// Responds with 200, or with 304 if the client already has this body.
fn respond(content_type: &'static str, body: String, request: &HeaderMap) -> Response {
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&body));
    let etag = format!("\"{hash}\"");
    let caching = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.as_secs())),
    ];
    if has(request, &etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// Whether `If-None-Match` names this `ETag`, by a weak comparison (RFC 9110, section 13.1.2).
fn has(request: &HeaderMap, etag: &str) -> bool {
    let lines = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
