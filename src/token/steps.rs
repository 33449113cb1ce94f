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
    /// Its name.
    pub kid: String,
    /// The algorithm of its access tokens. Refresh tokens are always HS256.
    pub algorithm: Algorithm,
    /// What it does.
    pub step: KeyStep,
    /// Since when, on this instance. None before the ring is in force.
    pub since: Option<Timestamp>,
    /// When a retired key is removed. None for other keys, and before the ring is in force.
    pub gone_at: Option<Timestamp>,
}

/// What a new ring changes.
#[derive(Debug, Default)]
pub(crate) struct KeyChange {
    /// The keys that are void now, and were not before.
    pub(crate) pulled: Vec<String>,
    /// If another key signs now, and the one that signed before stays.
    pub(crate) promotion: Option<Promotion>,
}

/// How a key came to sign while the key that signed before stays in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promotion {
    /// It was not in the ring.
    Unpublished,
    /// It was published at this time.
    PublishedAt(Timestamp),
}

impl Keyring {
    /// Adds the keys of `others`. They verify, and do not sign. Retired ones stay retired.
    ///
    /// # Errors
    /// [`KeyError::DuplicateName`] if one of them has the name of a key of this ring.
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

    /// Lets the key named `kid` sign. The key that signed before verifies, without an end: [`retire`](Self::retire) it
    /// when all instances sign with the new key, or promote it again to go back.
    ///
    /// # Errors
    /// [`KeyError::UnknownName`] if there is no such key, and [`KeyError::CannotSign`] if it is a public key.
    pub fn promote(self, kid: &str) -> Result<Self, KeyError> {
        let promoted = self.find(kid)?;
        if !promoted.can_sign() {
            return Err(KeyError::CannotSign(kid.to_owned()));
        }
        if promoted.step == KeyStep::Signing {
            return Ok(self);
        }
        // The key that signed last comes next: it vouches for the new one.
        let first = [promoted.at_step(KeyStep::Signing), self.signer().at_step(KeyStep::Published)];
        let others = self.keys().skip(1).filter(|key| key.kid != kid).cloned();
        let keys = first.into_iter().chain(others).collect();
        Ok(self.with_keys(keys))
    }

    /// Retires the key named `kid`: it verifies until the last of its tokens has expired, which is one absolute timeout
    /// and one grace period after the ring is [in force](crate::Sessions::set_keys). Then it is removed by itself. An
    /// idle session keeps its old refresh token this long.
    ///
    /// Do this when all instances sign with another key.
    ///
    /// # Errors
    /// [`KeyError::UnknownName`] if there is no such key, and [`KeyError::StillSigns`] if it is the signing key.
    pub fn retire(self, kid: &str) -> Result<Self, KeyError> {
        let retired = match self.find(kid)? {
            key if key.step == KeyStep::Signing => return Err(KeyError::StillSigns(kid.to_owned())),
            key if key.step == KeyStep::Retired => key.clone(),
            key => key.at_step(KeyStep::Retired),
        };
        let keys = self.keys().map(|key| if key.kid == kid { &retired } else { key }.clone()).collect();
        Ok(self.with_keys(keys))
    }

    /// Pulls the key named `kid`: its tokens are void at once, and get 401, although a key of this ring may vouch for
    /// it. A session goes on if its client has tokens of another key. See
    /// [emergency](crate::guide::emergency#a-leaked-key).
    ///
    /// If the ring has the same key under another name, that one is pulled, too.
    ///
    /// The name may be one that the ring does not have: name a pulled key at a restart, as long as its tokens live.
    ///
    /// # Errors
    /// [`KeyError::StillSigns`] if it is the signing key: promote another one before, or start with a new ring.
    /// [`KeyError::BadName`] unless `kid` is 1 to 64 characters of `A-Z a-z 0-9 - _`.
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

    /// The keys: the signing key first.
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

    /// This ring in force, as the successor of `before`. The keys that are no longer in it are pulled. A key that stays
    /// at its step keeps the time of it.
    pub(super) fn in_force(self, before: &Self, term: &KeyTerm) -> (Self, KeyChange) {
        let now = term.clock.now();
        let former = |kid: &str| before.keys.iter().find(|key| key.kid == kid);
        let since = |key: &Key| {
            let stays = former(&key.kid).filter(|former| former.step == key.step);
            // A file may name a time in the future, or in another unit.
            key.since.or(stays.and_then(|former| former.since)).unwrap_or(now).min(now)
        };
        let keys = self.keys.iter().map(|key| key.in_step_since(Some(since(key)))).collect();
        let in_force = Self { keys, term: Some(term.clone()), ..self };
        // Not one that is retired since long ago: it is as good as pulled.
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
