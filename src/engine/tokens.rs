//! The keys, and the access tokens that were verified or minted here, so that each is verified once at most.
//!
//! Tokens are compared in full, under a hash of their signatures that differs from process to process. A
//! cached token is judged by time and revocation on every request, like any other.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use quick_cache::{Equivalent, OptionsBuilder, sync::Cache};

use super::VerifiedToken;
use crate::token::{Keyring, TokenCodec};

/// How much of a token's end is hashed: part of its signature, which differs from all others.
const HASHED: usize = 32;

struct CachedToken<T>(T);

impl<T: AsRef<[u8]>> Hash for CachedToken<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let token = self.0.as_ref();
        state.write(token.last_chunk::<HASHED>().map_or(token, |end| end));
    }
}

impl<T: AsRef<[u8]>> PartialEq for CachedToken<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

impl<T: AsRef<[u8]>> Eq for CachedToken<T> {}

impl Equivalent<CachedToken<Box<[u8]>>> for CachedToken<&[u8]> {
    fn equivalent(&self, key: &CachedToken<Box<[u8]>>) -> bool {
        *self.0 == *key.0
    }
}

type VerifiedTokens<C> = Cache<CachedToken<Box<[u8]>>, Arc<VerifiedToken<C>>>;

/// The keys and the cache of verified access tokens.
pub(crate) struct TokenService<C> {
    codec: RwLock<Arc<TokenCodec>>,
    /// None if it is turned off.
    verified: Option<VerifiedTokens<C>>,
    closed: AtomicBool,
}

impl<C> TokenService<C> {
    /// With a cache for at most `capacity` tokens; none for zero.
    pub(super) fn new(codec: TokenCodec, capacity: usize) -> Self {
        // A token is minted, used for minutes, and never again. So the most recent ones matter, and a new one
        // must not be evicted before its second use.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(capacity as u64)
            .hot_allocation(0.5)
            .ghost_allocation(0.0)
            .build();
        let cache = |options| {
            Cache::with_options(options, Default::default(), Default::default(), Default::default())
        };
        Self {
            codec: RwLock::new(Arc::new(codec)),
            verified: options.ok().filter(|_| capacity > 0).map(cache),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn codec(&self) -> Arc<TokenCodec> {
        self.codec.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the keys. Tokens of keys that the new ring lacks are invalid from now on.
    pub(crate) fn set_keys(&self, ring: Keyring) {
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        *codec = Arc::new(codec.with_keys(ring));
        drop(codec);
        self.clear();
    }

    pub(super) fn cache_is_enabled(&self) -> bool {
        self.verified.is_some()
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<Arc<VerifiedToken<C>>> {
        self.verified.as_ref()?.get(&CachedToken(token))
    }

    /// Remembers a token that `codec` verified or minted.
    pub(super) fn keep(&self, codec: &Arc<TokenCodec>, token: &[u8], verified: Arc<VerifiedToken<C>>) {
        if let Some(cache) = &self.verified {
            cache.insert(CachedToken(token.into()), verified);
        }
        // The keys were replaced meanwhile, or the sessions were dropped.
        if self.closed.load(Ordering::SeqCst) || !Arc::ptr_eq(codec, &self.codec()) {
            self.clear();
        }
    }

    /// Forgets all tokens, and remembers no other. A remembered token keeps its engine alive, and so itself.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        if let Some(cache) = &self.verified {
            cache.clear();
        }
    }
}

impl<C> fmt::Debug for TokenService<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService")
            .field("verified", &self.verified.as_ref().map_or(0, Cache::len))
            .finish()
    }
}
