//! The keys, and a cache of the access tokens that were verified or minted here. A cached token is not verified again.
//!
//! The cache compares tokens in full. Its hash is of a token's signature, with a key that differs from process to
//! process. The times and the status of a cached token are checked on every request, as for any other token.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use quick_cache::{Equivalent, OptionsBuilder, sync::Cache};

use super::{Credential, VerifiedToken, recent::RecentTokens};
use crate::token::{KeyChange, Keyring, TokenCodec};

/// How many bytes at the end of a token are hashed: part of its signature, which differs from all others.
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
    /// `None` if the cache is turned off.
    verified: Option<VerifiedTokens<C>>,
    recent: RecentTokens<C>,
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
            recent: RecentTokens::new(),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn codec(&self) -> Arc<TokenCodec> {
        self.codec.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the keys. From now on, tokens of keys that are not in the new ring are invalid.
    pub(super) fn set_keys(&self, ring: Keyring) -> KeyChange {
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        let (new, change) = codec.with_keys(ring);
        *codec = Arc::new(new);
        drop(codec);
        self.clear();
        change
    }

    pub(super) fn cache_is_enabled(&self) -> bool {
        self.verified.is_some()
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<Arc<VerifiedToken<C>>> {
        self.verified.as_ref()?.get(&CachedToken(token))
    }

    /// The access token of a whole `Cookie` header or bearer token that this thread saw lately.
    pub(super) fn recent(&self, credential: Credential, text: &[u8]) -> Option<Arc<VerifiedToken<C>>> {
        self.verified.as_ref()?;
        self.recent.get(credential, text)
    }

    /// Keeps the verified `token` for [`recent`](Self::recent). It must be the only access token in `text`.
    pub(super) fn note_recent(&self, credential: Credential, text: &[u8], token: &[u8]) {
        if self.verified.is_some() {
            self.recent.note(credential, text, || self.get(token));
        }
    }

    /// Puts a token that `codec` verified or minted into the cache.
    pub(super) fn keep(&self, codec: &Arc<TokenCodec>, token: &[u8], verified: Arc<VerifiedToken<C>>) {
        if let Some(cache) = &self.verified {
            cache.insert(CachedToken(token.into()), verified);
        }
        // The keys were replaced meanwhile, or the last handle was dropped.
        if self.closed.load(Ordering::SeqCst) || !Arc::ptr_eq(codec, &self.codec()) {
            self.clear();
        }
    }

    /// Clears the cache, and keeps it empty. Cached tokens reference the engine, which owns the cache.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        if let Some(cache) = &self.verified {
            cache.clear();
        }
        self.recent.clear();
    }
}

impl<C> fmt::Debug for TokenService<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService")
            .field("verified", &self.verified.as_ref().map_or(0, Cache::len))
            .finish()
    }
}
