//! The access tokens that each thread saw last, found by the whole `Cookie` header or bearer token.
//!
//! Reading the shared cache writes counters that all cores share. Here each thread has its own copies, so that cores do
//! not wait for each other. A `Cookie` header that was seen before is not searched for cookies again.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Credential, VerifiedToken};
use crate::per_thread::PerThread;

/// How many tokens each thread keeps, at most. A power of two.
const SLOTS: usize = 64;

/// Longer headers are not kept.
const LONGEST: usize = 8 * 1024;

/// The tokens of all threads.
pub(super) struct RecentTokens<C>(PerThread<Mutex<Vec<Slot<C>>>>);

struct Slot<C> {
    kept: Option<Recent<C>>,
    /// The hash of the last text that was not found here. A text is kept when it comes again.
    missed: u64,
}

struct Recent<C> {
    credential: Credential,
    text: Box<[u8]>,
    token: Arc<VerifiedToken<C>>,
}

impl<C> RecentTokens<C> {
    pub(super) fn new() -> Self {
        Self(PerThread::new())
    }

    /// The token of this header or bearer token, if this thread keeps it.
    #[inline]
    pub(super) fn get(&self, credential: Credential, text: &[u8]) -> Option<Arc<VerifiedToken<C>>> {
        let slots = self.0.own()?.try_lock().ok()?;
        let recent = slots.get(index(hash(text)))?.kept.as_ref()?;
        (*recent.text == *text && recent.credential == credential).then(|| recent.token.clone())
    }

    /// Keeps a copy of the token if the text comes for the second time. `find` reads the shared cache while this thread's
    /// tokens are locked, so [`clear`](Self::clear) misses no token.
    pub(super) fn note(
        &self,
        credential: Credential,
        text: &[u8],
        find: impl FnOnce() -> Option<Arc<VerifiedToken<C>>>,
    ) {
        let Some(mut slots) = self.0.own().and_then(|own| own.try_lock().ok()) else { return };
        if slots.is_empty() {
            slots.resize_with(SLOTS, || Slot { kept: None, missed: 0 });
        }
        let hash = hash(text);
        let Some(slot) = slots.get_mut(index(hash)) else { return };
        if slot.missed != hash {
            slot.missed = hash;
        } else if text.len() <= LONGEST
            && let Some(token) = find()
        {
            let token = Arc::new(token.copy());
            slot.kept = Some(Recent { credential, text: text.into(), token });
        }
    }

    /// Removes all tokens. The shared cache must be cleared before.
    pub(super) fn clear(&self) {
        for slots in self.0.iter() {
            let removed = std::mem::take(&mut *slots.lock().unwrap_or_else(PoisonError::into_inner));
            drop(removed);
        }
    }
}

/// A hash of three short parts of the text: some are random parts of tokens. Texts are compared in full.
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
