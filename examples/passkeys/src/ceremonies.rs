//! What the server remembers between the two requests of a ceremony.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, header};
use tower_sliding_sessions::{SessionId, Timestamp};
use uuid::Uuid;
use webauthn_rs::prelude::{PasskeyAuthentication, PasskeyRegistration};

const COOKIE: &str = "__Host-ceremony";
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Anonymous requests begin ceremonies, so their number has a limit.
const LIMIT: usize = 10_000;

pub(crate) enum Ceremony {
    Registration {
        name: String,
        id: Uuid,
        state: PasskeyRegistration,
    },
    SignIn {
        name: String,
        state: PasskeyAuthentication,
    },
    /// Only the session that began it can finish it.
    StepUp {
        session: SessionId,
        state: PasskeyAuthentication,
    },
}

/// Ceremonies by the value of the cookie. With several instances, keep them where all instances find them.
#[derive(Default)]
pub(crate) struct Ceremonies(Mutex<HashMap<Uuid, (Timestamp, Ceremony)>>);

impl Ceremonies {
    /// Remembers a ceremony. Answers with its cookie, or none if there are too many.
    pub(crate) fn begin(&self, ceremony: Ceremony, now: Timestamp) -> Option<[(HeaderName, String); 1]> {
        let mut all = self.lock();
        all.retain(|_, (expires, _)| now < *expires);
        if all.len() >= LIMIT {
            return None;
        }
        let id = Uuid::new_v4(); // 122 random bits
        all.insert(id, (now + LIFETIME, ceremony));
        let seconds = LIFETIME.as_secs();
        let cookie = format!("{COOKIE}={id}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
        Some([(header::SET_COOKIE, cookie)])
    }

    /// Takes the ceremony of a request. There is one try for each challenge.
    pub(crate) fn finish(&self, headers: &HeaderMap, now: Timestamp) -> Option<Ceremony> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split("; ")).filter_map(|pair| pair.split_once('='));
        let (_, id) = pairs.find(|(name, _)| *name == COOKIE)?;
        let (expires, ceremony) = self.lock().remove(&id.parse::<Uuid>().ok()?)?;
        (now < expires).then_some(ceremony)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (Timestamp, Ceremony)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
