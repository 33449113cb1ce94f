//! The demo's own users: what a real application has a database for. They are in the memory of this
//! process, so other instances, and this one after a restart, know nothing of an admin's changes: they end
//! and mark sessions everywhere, but whom to let in, and with which roles, each instance says for itself.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
};

use tower_sliding_sessions::{Reload, Timestamp};

use super::Profile;

#[derive(Clone, Debug, Default)]
pub(crate) struct Users(Arc<RwLock<HashMap<String, User>>>);

#[derive(Clone, Debug, Default)]
struct User {
    roles: Vec<String>,
    /// When an admin set the roles: later roles of an earlier table must not pass for newer ones.
    version: u64,
    locked: bool,
}

impl Users {
    /// What somebody signs in with: the roles they ask for (it is a demo), or else those that an
    /// admin gave them. None if they are locked.
    pub(crate) fn profile(&self, name: &str, asked: Option<Vec<String>>) -> Option<Profile> {
        let users = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let User { roles, version, locked } = users.get(name).cloned().unwrap_or_default();
        (!locked).then(|| Profile { roles: asked.unwrap_or(roles), version })
    }

    pub(crate) fn set_roles(&self, name: &str, roles: Vec<String>, now: Timestamp) {
        self.change(name, |user| {
            user.roles = roles;
            user.version = now.as_millis().max(user.version + 1);
        });
    }

    pub(crate) fn lock(&self, name: &str) {
        self.change(name, |user| user.locked = true);
    }

    /// The claims hook: whoever is locked is out, and roles that an admin set meanwhile are taken
    /// over. Until then a session keeps its own.
    pub(crate) async fn reload(
        self,
        name: Arc<str>,
        claims: Option<Profile>,
    ) -> Result<Reload<Profile>, Infallible> {
        let users = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let seen = claims.map_or(0, |claims| claims.version);
        Ok(match users.get(&*name) {
            Some(user) if user.locked => Reload::revoke("locked"),
            Some(user) if user.version > seen => {
                Reload::Replace(Profile { roles: user.roles.clone(), version: user.version })
            }
            _ => Reload::Keep,
        })
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut User)) {
        let mut users = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(users.entry(name.to_owned()).or_default());
    }
}
