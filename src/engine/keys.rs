//! Puts a key ring in force, reports what changed, and follows a key file.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use super::Engine;
use crate::{
    backend::{BackgroundTask, timer},
    claims::Claims,
    event::EventKind,
    key_file::WatchedFile,
    token::{KeyChange, KeyStep, Keyring, Promotion},
};

/// How often a key file is read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A read of a key file on a network may hang. After this time, that is reported.
const LONGEST_READING: Duration = Duration::from_secs(10);
/// How long a service may use the JWK Set without asking for it again. So a key must be published this long before it
/// signs.
#[cfg(feature = "jwks")]
pub(crate) const JWKS_MAX_AGE: Duration = Duration::from_secs(300);

/// Follows a key file in the background.
pub(crate) struct KeyFollower {
    task: BackgroundTask,
    file: Arc<Mutex<WatchedFile>>,
}

impl KeyFollower {
    pub(crate) fn new(file: WatchedFile) -> Self {
        Self { task: BackgroundTask::default(), file: Arc::new(Mutex::new(file)) }
    }

    pub(super) fn shut_down(&self) {
        self.task.shut_down();
    }
}

impl fmt::Debug for KeyFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFollower").finish_non_exhaustive()
    }
}

impl<C: Claims> Engine<C> {
    /// Starts to follow the key file, if there is one. Code that uses keys outside of a session layer calls this, too.
    pub(crate) fn follow_key_file(&self) {
        if let Some(follower) = &self.config.key_follower {
            follower.task.start(|| follow(self.weak_self.clone(), follower.file.clone()));
        }
    }

    /// Replaces the keys, and reports it.
    pub(crate) fn set_keys(&self, ring: Keyring) {
        // Tokens of `pulled` keys are void from now on.
        let KeyChange { pulled, promotion } = self.tokens.set_keys(ring);
        let ring = self.tokens.codec().ring().clone();
        let events = &self.config.events;
        if promotion.is_some_and(|promotion| self.is_early(promotion)) {
            events.note(EventKind::KeyPromotedEarly);
        }
        events.note(EventKind::KeysChanged { keys: in_words(&ring), pulled });
    }

    /// Whether it is possible that another instance, or a service that verifies by the JWKS route, does not have the
    /// new signing key yet.
    fn is_early(&self, promotion: Promotion) -> bool {
        match promotion {
            Promotion::Unpublished => true,
            #[cfg(feature = "jwks")]
            Promotion::PublishedAt(time) => {
                let is_served = self.serves_jwks.load(std::sync::atomic::Ordering::Relaxed);
                is_served && self.tokens.codec().ring().signer_is_public() && self.now() < time + JWKS_MAX_AGE
            }
            #[cfg(not(feature = "jwks"))]
            Promotion::PublishedAt(_) => false,
        }
    }
}

/// Reads the key file again and again, until the engine is dropped.
async fn follow<C: Claims>(engine: Weak<Engine<C>>, file: Arc<Mutex<WatchedFile>>) {
    if timer(Duration::ZERO).is_none() {
        if let Some(engine) = engine.upgrade() {
            engine.backend.report_no_timers();
        }
        // Wait until this runtime ends. The next runtime may have timers.
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let reading = {
            let file = file.clone();
            move || file.lock().unwrap_or_else(PoisonError::into_inner).read_again()
        };
        let mut reading = tokio::task::spawn_blocking(reading);
        let found = match tokio::time::timeout(LONGEST_READING, &mut reading).await {
            Ok(found) => found,
            Err(_) => {
                let Some(engine) = engine.upgrade() else { return };
                let slow = format!("it was not read within {} s", LONGEST_READING.as_secs());
                let slow = std::io::Error::new(std::io::ErrorKind::TimedOut, slow);
                engine.config.events.failed(EventKind::KeyFileFailed, &slow);
                drop(engine);
                reading.await
            }
        };
        let Some(engine) = engine.upgrade() else { return };
        if let Some(follower) = &engine.config.key_follower {
            follower.task.note_progress();
        }
        match found {
            Ok(None) => {}
            Ok(Some(Ok((ring, content)))) => {
                engine.set_keys(ring);
                // After `set_keys`: if this runtime stops in between, the next runtime reads the same content again.
                file.lock().unwrap_or_else(PoisonError::into_inner).set_in_force(content);
            }
            Ok(Some(Err(error))) => engine.config.events.failed(EventKind::KeyFileFailed, &error),
            // The runtime stops.
            Err(_) => return,
        }
    }
}

/// The keys and their steps, such as `k3 signing, k4 published, k2 retired`.
fn in_words(ring: &Keyring) -> String {
    let word = |step| match step {
        KeyStep::Published => "published",
        KeyStep::Signing => "signing",
        KeyStep::Retired => "retired",
    };
    let keys: Vec<_> = ring.list().iter().map(|key| format!("{} {}", key.kid, word(key.step))).collect();
    keys.join(", ")
}
