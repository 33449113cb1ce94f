//! Token introspection (RFC 7662).

use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{OAuth, body, error::Refused, tokens::RefreshExpirySecs};
use crate::{
    RequestHead,
    claims::Claims,
    engine::{Introspection, SessionView},
    store::SessionRecord,
    time::Timestamp,
    token::RefreshClaims,
};

/// The response (RFC 7662, section 2.2). For an inactive token, the response has only `active`.
#[derive(Default, Serialize)]
#[serde(default)]
struct Body<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    /// With this ID, the service can distinguish the sessions of one subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amr: Vec<&'a str>,
    /// The application's current claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<Box<RawValue>>,
    /// Only for a refresh token.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    refresh_expiry: Option<RefreshExpirySecs>,
}

impl<C: Claims> OAuth<C> {
    pub(super) async fn introspect(&self, request: Request) -> Result<Response, Refused> {
        if !self.may_introspect.as_ref().is_some_and(|may_ask| may_ask(&RequestHead::of(&request))) {
            return Err(Refused::MAY_NOT_ASK);
        }
        let (_, form) = self.read(request).await?;
        let found = self.engine.introspect(form.require("token")?.as_bytes()).await;
        let tokens = self.engine.tokens.codec();
        let body = match &found {
            Introspection::Access { token, claims } => Body {
                ext: to_raw_value(&**claims).ok().filter(|claims| claims.get() != "null"),
                ..of_access(&token.view, tokens.audience(), tokens.issuer())
            },
            Introspection::Refresh(claims, record) => Body {
                refresh_expiry: Some(self.engine.refresh_expiry(&record.family, self.engine.now()).into()),
                ..of_refresh(claims, record, &self.engine.config.realm)
            },
            Introspection::Inactive => Body::default(),
            Introspection::Unavailable => return Err(Refused::UNAVAILABLE),
        };
        Ok(body::json(StatusCode::OK, &body))
    }
}

fn of_access<'a, C>(said: &'a SessionView<C>, audience: &'a str, issuer: Option<&'a str>) -> Body<'a> {
    Body {
        active: true,
        token_type: Some("Bearer"),
        iss: issuer,
        aud: Some(audience),
        sub: Some(&said.key.subject.name),
        sid: Some(said.key.id.encode()),
        iat: Some(said.issued.as_secs()),
        exp: Some(said.expires.as_secs()),
        auth_time: Some(said.auth_time.as_secs()),
        amr: said.methods.iter().map(String::as_str).collect(),
        ..Body::default()
    }
}

/// The response for a refresh token. It has no `token_type`, because a refresh token is not a bearer token.
fn of_refresh<'a>(claims: &'a RefreshClaims, record: &'a SessionRecord, realm: &'a str) -> Body<'a> {
    let secs = |time: Timestamp| Some(time.as_secs());
    Body {
        active: true,
        aud: Some(realm),
        sub: Some(&claims.subject),
        sid: Some(claims.session.encode()),
        iat: secs(claims.began),
        exp: secs(claims.absolute_deadline),
        auth_time: secs(record.family.created_at),
        amr: record.all_methods().collect(),
        ..Body::default()
    }
}
