//! A bounded cache of tokens whose signature proved good, or that were minted here, so that each is
//! verified once at most.
//!
//! Tokens are compared in full, under a hash of their signatures that differs from process to process. A
//! hit says nothing of time or revocation: those are judged on every request.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use quick_cache::{Equivalent, OptionsBuilder, sync::Cache};

use super::Active;

/// How much of a token's end is hashed: no more than a signature, which differs from all others.
const HASHED: usize = 32;

type Tokens<C> = Cache<Token<Box<[u8]>>, Arc<Active<C>>>;

struct Token<T>(T);

impl<T: AsRef<[u8]>> Hash for Token<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let token = self.0.as_ref();
        state.write(token.last_chunk::<HASHED>().map_or(token, |end| end));
    }
}

impl<T: AsRef<[u8]>> PartialEq for Token<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

impl<T: AsRef<[u8]>> Eq for Token<T> {}

impl Equivalent<Token<Box<[u8]>>> for Token<&[u8]> {
    fn equivalent(&self, key: &Token<Box<[u8]>>) -> bool {
        *self.0 == *key.0
    }
}

pub(super) struct Verified<C>(Option<Tokens<C>>);

impl<C> Verified<C> {
    /// For at most `capacity` tokens; none at all for zero.
    pub(super) fn new(capacity: usize) -> Self {
        // A token is minted, used for minutes, and never again: what is recent matters, and so a new one
        // must not be pushed out before its second use.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(capacity as u64)
            .hot_allocation(0.5)
            .ghost_allocation(0.0)
            .build();
        let cache = |options| {
            Cache::with_options(options, Default::default(), Default::default(), Default::default())
        };
        Self(options.ok().filter(|_| capacity > 0).map(cache))
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<Arc<Active<C>>> {
        self.0.as_ref()?.get(&Token(token))
    }

    pub(super) fn insert(&self, token: &[u8], active: Arc<Active<C>>) {
        if let Some(tokens) = &self.0 {
            tokens.insert(Token(token.into()), active);
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
