//! The demo's users, for which a real application has a database. They are in the memory of this process.
//! Other instances, and this one after a restart, do not know an admin's changes: sessions are revoked
//! and marked everywhere, but each instance decides by itself which user may sign in, with which roles.

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
    /// When an admin set the roles. Roles of an earlier table must not pass for newer ones.
    version: u64,
    locked: bool,
}

impl Users {
    /// The roles for a sign-in: those of an admin, or else the requested ones (it is a demo). None if the
    /// user is locked.
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

    /// The claims hook: revokes the sessions of a locked user, and replaces the roles if an admin set them.
    /// Otherwise a session keeps its own.
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
