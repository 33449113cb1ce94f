//! A bounded cache of tokens whose signature proved good, so that each is verified once.
//!
//! Only such tokens get in, so nobody can fill it with others. Tokens are compared in full, under
//! a hash that differs from process to process. A hit says nothing of time or revocation: those are
//! judged on every request.

use std::{fmt, sync::Arc};

use quick_cache::sync::Cache;

use super::Active;

type Tokens<C> = Cache<Box<[u8]>, Arc<Active<C>>>;

pub(super) struct Verified<C>(Option<Tokens<C>>);

impl<C> Verified<C> {
    /// For at most `capacity` tokens; none at all for zero.
    pub(super) fn new(capacity: usize) -> Self {
        Self((capacity > 0).then(|| Cache::new(capacity)))
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<Arc<Active<C>>> {
        self.0.as_ref()?.get(token)
    }

    pub(super) fn insert(&self, token: &[u8], active: Arc<Active<C>>) {
        if let Some(tokens) = &self.0 {
            tokens.insert(token.into(), active);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(tokens) = &self.0 {
            tokens.clear();
        }
    }
}

impl<C> fmt::Debug for Verified<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("len", &self.0.as_ref().map_or(0, Cache::len)).finish()
    }
}
