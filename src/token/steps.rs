//! The four steps of a key: publish, promote, retire, pull.

use std::collections::BTreeSet;

use jsonwebtoken::Algorithm;

use super::{
    error::KeyError,
    key::{Key, KeyStep, Kind},
    keyring::{KeyTerm, Keyring, PulledKey},
    name::checked,
};
use crate::time::Timestamp;

/// A key of a [`Keyring`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The key's name (`kid`).
    pub kid: String,
    /// The algorithm of the key's access tokens. Refresh tokens are always HS256.
    pub algorithm: Algorithm,
    /// The key's step, which says what the key does.
    pub step: KeyStep,
    /// When the step began on this instance, or the time that a JWK Set names by `since`. Before the ring is in force,
    /// only a JWK Set with `since` sets this time.
    pub since: Option<Timestamp>,
    /// When a retired key is removed. `None` for other keys, and before the ring is in force.
    pub gone_at: Option<Timestamp>,
}

/// What a new ring changes.
#[derive(Debug, Default)]
pub(crate) struct KeyChange {
    /// The names of the keys that are void now, and were not void before.
    pub(crate) pulled: Vec<String>,
    /// Set if another key signs now, and the key that signed before stays in the ring.
    pub(crate) promotion: Option<Promotion>,
}

/// Where a new signing key comes from, if the key that signed before stays in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promotion {
    /// The new signing key was not in the ring before.
    Unpublished,
    /// The new signing key was published at this time.
    PublishedAt(Timestamp),
}

impl Keyring {
    /// Adds the keys of `others`. The added keys verify, and do not sign. Retired keys stay retired.
    ///
    /// # Errors
    /// [`KeyError::DuplicateName`] if an added key has the name of a key of this ring.
    #[expect(clippy::needless_pass_by_value, reason = "a ring is built in one expression")]
    pub fn publish(self, others: Self) -> Result<Self, KeyError> {
        for other in others.keys() {
            if self.keys().any(|key| key.kid == other.kid) {
                return Err(KeyError::DuplicateName(other.kid.clone()));
            }
        }
        let added = others.keys().map(|key| match key.step {
            KeyStep::Signing => key.at_step(KeyStep::Published),
            KeyStep::Published | KeyStep::Retired => key.clone(),
        });
        let keys: Vec<_> = self.keys().cloned().chain(added).collect();
        let pulled = self.pulled.iter().chain(others.pulled.iter()).cloned();
        let pulled = pulled.filter(|pulled| keys.iter().all(|key| key.kid != pulled.kid)).collect();
        Ok(Self { pulled, ..self }.with_keys(keys))
    }

    /// Makes the key named `kid` sign. The key that signed before verifies from now on, without a time limit.
    /// [`retire`](Self::retire) that key when all instances sign with the new key. To go back, promote that key again.
    ///
    /// # Errors
    /// [`KeyError::UnknownName`] if the ring has no key with this name, and [`KeyError::CannotSign`] if the key is a
    /// public key.
    pub fn promote(self, kid: &str) -> Result<Self, KeyError> {
        let promoted = self.find(kid)?;
        if !promoted.can_sign() {
            return Err(KeyError::CannotSign(kid.to_owned()));
        }
        if promoted.step == KeyStep::Signing {
            return Ok(self);
        }
        // The key that signed last comes second, so that it vouches for the new signing key.
        let first = [promoted.at_step(KeyStep::Signing), self.signer().at_step(KeyStep::Published)];
        let others = self.keys().skip(1).filter(|key| key.kid != kid).cloned();
        let keys = first.into_iter().chain(others).collect();
        Ok(self.with_keys(keys))
    }

    /// Retires the key named `kid`. A retired key verifies until the last of its tokens has expired: one absolute
    /// timeout and one grace period after the ring is [in force](crate::Sessions::set_keys). Then the key is removed
    /// automatically. The time is this long because an idle session keeps its old refresh token.
    ///
    /// Retire a key when all instances sign with another key.
    ///
    /// # Errors
    /// [`KeyError::UnknownName`] if the ring has no key with this name, and [`KeyError::StillSigns`] if it is the
    /// signing key.
    pub fn retire(self, kid: &str) -> Result<Self, KeyError> {
        let retired = match self.find(kid)? {
            key if key.step == KeyStep::Signing => return Err(KeyError::StillSigns(kid.to_owned())),
            key if key.step == KeyStep::Retired => key.clone(),
            key => key.at_step(KeyStep::Retired),
        };
        let keys = self.keys().map(|key| if key.kid == kid { &retired } else { key }.clone()).collect();
        Ok(self.with_keys(keys))
    }

    /// Pulls the key named `kid`. The tokens of a pulled key are void at once, and get 401, even if a key of this ring
    /// vouches for the pulled key. A session continues if its client has tokens of another key. See
    /// [emergency](crate::guide::emergency#a-leaked-key).
    ///
    /// If the ring has the same key under another name, this key is pulled, too.
    ///
    /// The ring need not have a key with this name. So pull a pulled key again at each restart, until its tokens have
    /// expired.
    ///
    /// # Errors
    /// - [`KeyError::StillSigns`] if it is the signing key. Promote another key first, or start with a new ring.
    /// - [`KeyError::BadName`] unless `kid` is 1 to 64 characters of `A-Z a-z 0-9 - _`.
    pub fn pull(self, kid: &str) -> Result<Self, KeyError> {
        let kid = checked(kid)?;
        let found = self.keys().find(|key| key.kid == kid);
        let identity: Vec<_> = found.map(|key| key.identity().collect()).unwrap_or_default();
        let is_pulled = |key: &Key| key.kid == kid || key.identity().any(|one| identity.contains(&one));
        if is_pulled(self.signer()) {
            return Err(KeyError::StillSigns(kid.to_owned()));
        }
        let (gone, keys): (Vec<_>, Vec<_>) = self.keys().cloned().partition(is_pulled);
        let names: BTreeSet<_> = gone.into_iter().map(|key| key.kid).chain([kid.to_owned()]).collect();
        let others = self.pulled.iter().filter(|pulled| !names.contains(&pulled.kid)).cloned();
        let pulled =
            others.chain(names.iter().map(|kid| PulledKey { kid: kid.clone(), since: None })).collect();
        Ok(Self { pulled, ..self }.with_keys(keys))
    }

    /// Returns all keys. The signing key comes first.
    #[must_use]
    pub fn list(&self) -> Vec<KeyInfo> {
        let info = |key: &Key| KeyInfo {
            kid: key.kid.clone(),
            algorithm: key.algorithm(Kind::Access),
            step: key.step,
            since: key.since,
            gone_at: self.gone_at(key),
        };
        self.keys().map(info).collect()
    }

    fn find(&self, kid: &str) -> Result<&Key, KeyError> {
        self.keys().find(|key| key.kid == kid).ok_or_else(|| KeyError::UnknownName(kid.to_owned()))
    }

    /// Puts this ring in force, in place of `before`. Keys of `before` that this ring does not have are pulled. A key
    /// whose step stays the same keeps the time at which the step began.
    pub(super) fn in_force(self, before: &Self, term: &KeyTerm) -> (Self, KeyChange) {
        let now = term.clock.now();
        let former = |kid: &str| before.keys.iter().find(|key| key.kid == kid);
        let since = |key: &Key| {
            let stays = former(&key.kid).filter(|former| former.step == key.step);
            // A key file may contain a time in the future, or a time in another unit.
            key.since.or(stays.and_then(|former| former.since)).unwrap_or(now).min(now)
        };
        let keys = self.keys.iter().map(|key| key.in_step_since(Some(since(key)))).collect();
        let in_force = Self { keys, term: Some(term.clone()), ..self };
        // A retired key whose tokens have all expired is left out: it is treated like a pulled key.
        let is_here = |kid: &str| in_force.keys().any(|key| key.kid == kid);
        let gone = before.keys().filter(|key| !is_here(&key.kid));
        let mut pulled: Vec<PulledKey> = Vec::new();
        let names = in_force.pulled.iter().chain(before.pulled.iter()).cloned();
        for name in names.chain(gone.map(|key| PulledKey { kid: key.kid.clone(), since: None })) {
            let since = name.since.unwrap_or(now);
            let is_over = since + term.longest <= now;
            if !is_over && !is_here(&name.kid) && pulled.iter().all(|other| other.kid != name.kid) {
                pulled.push(PulledKey { kid: name.kid, since: Some(since) });
            }
        }
        let was_pulled = |kid: &str| before.pulled.iter().any(|pulled| pulled.kid == kid);
        let news = pulled.iter().map(|pulled| &pulled.kid).filter(|kid| !was_pulled(kid));
        let change = KeyChange { pulled: news.cloned().collect(), promotion: promotion(&in_force, before) };
        let live = in_force.keys().cloned().collect();
        (Self { pulled: pulled.into(), ..in_force }.with_keys(live), change)
    }
}

fn promotion(ring: &Keyring, before: &Keyring) -> Option<Promotion> {
    let stays = ring.keys().any(|key| key.kid == before.kid());
    let is_first = before.term.is_none();
    if is_first || !stays || ring.kid() == before.kid() {
        return None;
    }
    let published = before.keys().find(|key| key.kid == ring.kid());
    Some(published.and_then(|key| key.since).map_or(Promotion::Unpublished, Promotion::PublishedAt))
}
