//! The keys, and the access tokens that were verified or minted here. Such a token is not verified again. But each
//! request checks its times and the status of its session.
//!
//! Access tokens are cached twice:
//! - All threads share one cache. It hashes the end of a token (a part of its signature, or of its encrypted form), and
//!   compares tokens in full. The hash has a key that differs from process to process.
//! - Reading the shared cache writes counters that all cores share. So each thread also keeps copies of the tokens that
//!   it saw last, and cores do not wait for each other. The copies are found by the whole `Cookie` header or bearer
//!   token: a `Cookie` header that was seen before is not searched for cookies again.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use quick_cache::{Equivalent, OptionsBuilder, sync::Cache};

use super::{Credential, Engine, VerifiedToken};
use crate::{
    claims::Claims,
    cookie::CookieValue,
    event::EventKind,
    per_thread::PerThread,
    protocol::Refusal,
    revocation::SessionError,
    time::Timestamp,
    token::{InvalidToken, KeyChange, Keyring, LONGEST_TOKEN, RefreshClaims, TokenCodec},
};

/// How many bytes at the end of a token are hashed. They differ from token to token.
const HASHED: usize = 32;

struct TokenBytes<T>(T);

impl<T: AsRef<[u8]>> Hash for TokenBytes<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let token = self.0.as_ref();
        state.write(token.last_chunk::<HASHED>().map_or(token, |end| end));
    }
}

impl<T: AsRef<[u8]>> PartialEq for TokenBytes<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

impl<T: AsRef<[u8]>> Eq for TokenBytes<T> {}

impl Equivalent<TokenBytes<Box<[u8]>>> for TokenBytes<&[u8]> {
    fn equivalent(&self, key: &TokenBytes<Box<[u8]>>) -> bool {
        *self.0 == *key.0
    }
}

type VerifiedTokens<C> = Cache<TokenBytes<Box<[u8]>>, Arc<VerifiedToken<C>>>;

/// The keys and the cache of verified access tokens.
pub(crate) struct CachedTokenCodec<C> {
    codec: RwLock<Arc<TokenCodec>>,
    /// `None` if the cache is turned off.
    verified: Option<VerifiedTokens<C>>,
    recent: RecentTokens<C>,
    closed: AtomicBool,
}

impl<C> CachedTokenCodec<C> {
    /// Makes a cache for at most `capacity` tokens. 0 turns the cache off.
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
        self.verified.as_ref()?.get(&TokenBytes(token))
    }

    /// The access token of a whole `Cookie` header or bearer token that this thread saw lately.
    pub(super) fn recent(
        &self,
        credential: Credential,
        text: &[u8],
    ) -> Result<Arc<VerifiedToken<C>>, CacheMiss> {
        if self.verified.is_none() {
            return Err(CacheMiss { is_repeated: false });
        }
        self.recent.get(credential, text)
    }

    /// Keeps the verified `token` for [`recent`](Self::recent), if `text` has come before. `token` must be the only
    /// access token in `text`.
    pub(super) fn keep_recent(&self, credential: Credential, text: &[u8], token: &[u8], miss: CacheMiss) {
        if miss.is_repeated {
            self.recent.keep(credential, text, || self.get(token));
        }
    }

    /// Puts a token that `codec` verified or minted into the cache.
    pub(super) fn keep(&self, codec: &Arc<TokenCodec>, token: &[u8], verified: Arc<VerifiedToken<C>>) {
        if let Some(cache) = &self.verified {
            cache.insert(TokenBytes(token.into()), verified);
        }
        // The cache must be empty if the keys were replaced meanwhile, or if the last handle was dropped.
        let is_current = Arc::ptr_eq(codec, &self.codec.read().unwrap_or_else(PoisonError::into_inner));
        if self.closed.load(Ordering::SeqCst) || !is_current {
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

impl<C> fmt::Debug for CachedTokenCodec<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedTokenCodec")
            .field("verified", &self.verified.as_ref().map_or(0, Cache::len))
            .finish()
    }
}

impl<C: Claims> Engine<C> {
    /// Returns a verified access token from the cache, or verifies it and puts it into the cache. The token may have
    /// expired.
    pub(super) fn verify(self: &Arc<Self>, token: &[u8]) -> Result<Arc<VerifiedToken<C>>, InvalidToken> {
        // Reject long tokens before the cache hashes them.
        if token.len() > LONGEST_TOKEN {
            self.config.events.note(EventKind::AccessTokenInvalid(InvalidToken::TooLong));
            return Err(InvalidToken::TooLong);
        }
        if let Some(verified) = self.tokens.get(token) {
            return Ok(verified);
        }
        let codec = self.tokens.codec();
        let claims = codec
            .verify_access(token)
            .inspect_err(|invalid| self.config.events.note(EventKind::AccessTokenInvalid(*invalid)))?;
        let verified = Arc::new(VerifiedToken::new(self.clone(), claims));
        self.revocation.note_time(verified.view.issued, self.now());
        self.tokens.keep(&codec, token, verified.clone());
        Ok(verified)
    }

    /// The access token in a cookie, if its signature is valid. The token may have expired.
    pub(super) fn verify_cookie(self: &Arc<Self>, access: CookieValue<'_>) -> Option<Arc<VerifiedToken<C>>> {
        match access {
            CookieValue::Value(token) => self.verify(token).ok(),
            CookieValue::Absent | CookieValue::Conflict => None,
        }
    }

    /// As [`verify`](Self::verify) for a bearer token. A token that this thread saw lately is found in the thread's own
    /// cache.
    pub(super) fn verify_bearer(
        self: &Arc<Self>,
        token: &[u8],
    ) -> Result<Arc<VerifiedToken<C>>, InvalidToken> {
        let miss = match self.tokens.recent(Credential::Bearer, token) {
            Ok(verified) => return Ok(verified),
            Err(miss) => miss,
        };
        self.verify(token).inspect(|_| self.tokens.keep_recent(Credential::Bearer, token, token, miss))
    }

    /// Verifies a refresh token and the absolute timeout in it. Reports why it is refused.
    pub(super) fn verify_refresh(&self, token: &[u8], now: Timestamp) -> Result<RefreshClaims, SessionError> {
        // The lock is held for microseconds, which costs less than a clone of the codec's `Arc`. It is released before
        // the event, because the hook for events may change the keys, which needs the lock.
        let read = self.tokens.codec.read().unwrap_or_else(PoisonError::into_inner).verify_refresh(token);
        let refresh = read.map_err(|invalid| {
            self.config.events.note(EventKind::RefreshTokenInvalid(invalid));
            match invalid {
                // Another instance has the key of this token.
                InvalidToken::NewKey => SessionError::Unavailable,
                _ => Refusal::BadToken.into(),
            }
        })?;
        if now >= refresh.absolute_deadline {
            self.config.events.of(EventKind::Refused(Refusal::Expired), &refresh.session, &refresh.subject);
            return Err(Refusal::Expired.into());
        }
        Ok(refresh)
    }

    /// Verifies the refresh cookie. Reports an invalid or expired token, but not a missing one.
    pub(super) fn read_refresh(
        &self,
        cookie: CookieValue<'_>,
        now: Timestamp,
    ) -> Result<RefreshClaims, SessionError> {
        match cookie {
            CookieValue::Absent => Err(Refusal::NoToken.into()),
            CookieValue::Conflict => Err(Refusal::BadToken.into()),
            CookieValue::Value(token) => self.verify_refresh(token, now),
        }
    }
}

/// How many tokens each thread keeps, at most. A power of two.
const SLOTS: usize = 64;

/// Longer headers are not kept.
const LONGEST_TEXT: usize = 8 * 1024;

/// The tokens that each thread saw last.
struct RecentTokens<C>(PerThread<Mutex<Vec<Slot<C>>>>);

struct Slot<C> {
    kept: Option<Recent<C>>,
    /// The hash of the last text that was not found here. A text is kept when it comes again.
    missed: u64,
}

/// The result of a look-up: this thread keeps no token for the given `Cookie` header or bearer token.
#[derive(Clone, Copy)]
pub(super) struct CacheMiss {
    /// The last miss in this slot was for the same text, so the text has come twice.
    is_repeated: bool,
}

struct Recent<C> {
    credential: Credential,
    text: Box<[u8]>,
    token: Arc<VerifiedToken<C>>,
}

impl<C> RecentTokens<C> {
    fn new() -> Self {
        Self(PerThread::new())
    }

    /// The token of this header or bearer token, if this thread keeps it. If not, notes that the text came.
    #[inline]
    fn get(&self, credential: Credential, text: &[u8]) -> Result<Arc<VerifiedToken<C>>, CacheMiss> {
        let first = CacheMiss { is_repeated: false };
        let mut slots = self.0.own().and_then(|own| own.try_lock().ok()).ok_or(first)?;
        if slots.is_empty() {
            slots.resize_with(SLOTS, || Slot { kept: None, missed: 0 });
        }
        let hash = hash(text);
        let slot = slots.get_mut(index(hash)).ok_or(first)?;
        match &slot.kept {
            Some(recent) if *recent.text == *text && recent.credential == credential => {
                Ok(recent.token.clone())
            }
            _ => Err(CacheMiss { is_repeated: std::mem::replace(&mut slot.missed, hash) == hash }),
        }
    }

    /// Keeps a copy of a token. `find` reads the shared cache while this thread's tokens are locked. The shared cache
    /// is cleared before [`clear`](Self::clear) takes this lock. So either `find` finds nothing, or `clear` removes the
    /// copy.
    fn keep(
        &self,
        credential: Credential,
        text: &[u8],
        find: impl FnOnce() -> Option<Arc<VerifiedToken<C>>>,
    ) {
        let Some(mut slots) = self.0.own().and_then(|own| own.try_lock().ok()) else { return };
        if text.len() <= LONGEST_TEXT
            && let Some(slot) = slots.get_mut(index(hash(text)))
            && let Some(token) = find()
        {
            let token = Arc::new(token.copy());
            slot.kept = Some(Recent { credential, text: text.into(), token });
        }
    }

    /// Removes all tokens. The shared cache must be cleared before.
    fn clear(&self) {
        for slots in self.0.iter() {
            let removed = std::mem::take(&mut *slots.lock().unwrap_or_else(PoisonError::into_inner));
            drop(removed);
        }
    }
}

/// A hash of three short parts of a `Cookie` header or bearer token. Such a text consists mostly of tokens, so the
/// parts mostly have random bytes. Texts are compared in full.
fn hash(text: &[u8]) -> u64 {
    let part = |quarter: usize| {
        let rest = text.get(text.len() / 4 * quarter..).unwrap_or_default();
        rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let mixed = part(1) ^ part(2).rotate_left(21) ^ part(3).rotate_left(42) ^ text.len() as u64;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn index(hash: u64) -> usize {
    (hash >> (u64::BITS - SLOTS.ilog2())) as usize
}
