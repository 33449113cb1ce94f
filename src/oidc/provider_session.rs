//! The provider's data in a session's record: the provider's names for the user and the session, and the sealed ID
//! token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    store::SessionRecord,
    token::{Keyring, open, seal},
};

/// The name of this part of a record.
pub(super) const NAME: &str = "oidc";
const PURPOSE: &str = "oidc id token";
/// The maximum length of an ID token that is kept, in bytes. The ID token becomes part of an address.
const LONGEST_HINT: usize = 6 * 1024;

#[derive(Serialize, Deserialize)]
pub(super) struct ProviderSession {
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    /// The sealed ID token, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl ProviderSession {
    pub(super) fn new(ring: &Keyring, iss: String, sub: String, sid: Option<String>, id_token: &str) -> Self {
        let hint = (id_token.len() <= LONGEST_HINT)
            .then(|| seal(ring, PURPOSE, &associated(&iss, &sub), id_token.as_bytes()).ok())
            .flatten()
            .map(|sealed| URL_SAFE_NO_PAD.encode(sealed));
        Self { iss, sub, sid, hint }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // INVARIANT: all keys are strings, so the value can be written as JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The provider's data in a record. Returns `None` if `issuer` did not sign in the session.
    pub(super) fn of(record: &SessionRecord, issuer: &str) -> Option<Self> {
        let attached: Self = serde_json::from_slice(record.attached.get(NAME)?).ok()?;
        (attached.iss == issuer).then_some(attached)
    }

    /// The ID token, for `id_token_hint`.
    pub(super) fn id_token(&self, ring: &Keyring) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(self.hint.as_deref()?).ok()?;
        let opened = open(ring, PURPOSE, &associated(&self.iss, &self.sub), &sealed)?;
        String::from_utf8(opened.plaintext.to_vec()).ok()
    }
}

fn associated(iss: &str, sub: &str) -> Vec<u8> {
    [iss, "\n", sub].concat().into_bytes()
}
