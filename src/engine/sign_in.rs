//! Sign-in: opens a session.

use std::{io, sync::Arc, time::Duration};

use super::{CookieLine, Engine, mint::AccessBasis};
use crate::{
    claims::Claims,
    event::EventKind,
    id::{RunId, SessionId},
    protocol::{Family, PolicyError},
    revocation::{SessionError, older_run_id_error},
    store::{Attached, Cap, CreateError, Reauthentication, SessionKey, SessionRecord, StoreError, Subject},
    time::Timestamp,
    token::MintError,
};

/// The options of a sign-in.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignInOptions {
    pub(crate) methods: Vec<String>,
    /// Whether the cookies outlive the browser.
    pub(crate) persistent: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) absolute_timeout: Option<Duration>,
    pub(crate) origin: Option<Arc<str>>,
    /// What is kept with the session.
    pub(crate) attached: Attached,
    /// What is kept with the session, and depends on its ID.
    #[cfg(feature = "vault")]
    pub(crate) attach: Vec<AttachToNew>,
    /// When the user authenticated, if that was before the sign-in. The epoch if it is unknown.
    pub(crate) authenticated_at: Option<Timestamp>,
}

/// Attaches a value to a session that begins.
#[cfg(feature = "vault")]
#[derive(Clone)]
pub(crate) struct AttachToNew(pub(crate) Arc<Attach>);

#[cfg(feature = "vault")]
type Attach = dyn Fn(&SessionKey, &mut Attached) -> io::Result<()> + Send + Sync;

#[cfg(feature = "vault")]
impl std::fmt::Debug for AttachToNew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachToNew")
    }
}

/// A session that has just begun.
pub(super) struct NewSession<C> {
    pub(super) key: SessionKey,
    pub(super) record: Arc<SessionRecord>,
    pub(super) run: RunId,
    pub(super) now: Timestamp,
    /// The claims, as the next request will read them.
    pub(super) claims: Arc<C>,
}

/// Why a sign-in failed. No client has tokens of the new session. The sessions that it would have replaced stay. But if
/// the store fails while these sessions are being revoked, some of them may be revoked already.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The claims do not fit into a cookie, cannot be written as JSON, or cannot be read back from it.
    #[error(transparent)]
    Claims(#[from] MintError),
    /// The subject is empty. An empty string is not a user ID.
    #[error("the subject is empty")]
    EmptySubject,
    /// The subject has as many sessions as it may have.
    #[error("the subject has too many sessions")]
    TooManySessions,
    /// The claims reload hook refused the user. The new session was revoked.
    #[error("the user may not sign in")]
    Refused,
    /// The policy does not allow the requested timeouts.
    #[error(transparent)]
    Timeouts(#[from] PolicyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Entropy(#[from] io::Error),
}

impl From<CreateError> for SignInError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::TooMany => Self::TooManySessions,
            CreateError::Store(error) => Self::Store(error),
            // 256 random bits do not collide: the store is broken.
            error @ CreateError::Exists => Self::Store(StoreError::corrupt(error)),
        }
    }
}

impl<C: Claims> Engine<C> {
    /// Opens a session, revokes the ones it replaces, and returns its ID and its cookies.
    pub(crate) async fn sign_in(
        &self,
        subject: &str,
        claims: &C,
        options: SignInOptions,
        replaces: Vec<SessionKey>,
    ) -> Result<(SessionId, Vec<CookieLine>), SignInError> {
        let mint = |new: &NewSession<C>| {
            let NewSession { key, record, run, now, claims } = new;
            let access = self.access_line(&AccessBasis::of(record, key, *run, *now), Some(claims), *now)?;
            let refresh = self.refresh_line(record, key, *run, *now)?;
            let readable = self.readable_line(claims, record, *now)?;
            let former = self.config.cookies.former_removals().map(CookieLine::from);
            Ok((key.id, former.chain([access, refresh]).chain(readable).collect()))
        };
        self.open_session(subject, claims, options, replaces, mint).await
    }

    /// Opens a session, mints its tokens, and then revokes the sessions it replaces. If it fails before that, they
    /// stay, and the new session is revoked.
    pub(super) async fn open_session<T>(
        &self,
        subject: &str,
        claims: &C,
        options: SignInOptions,
        replaces: Vec<SessionKey>,
        mint: impl FnOnce(&NewSession<C>) -> Result<T, MintError>,
    ) -> Result<T, SignInError> {
        if subject.is_empty() {
            return Err(SignInError::EmptySubject);
        }
        let id = SessionId::random().inspect_err(|error| {
            self.config.events.failed(EventKind::InternalError { operation: "sign_in" }, error);
        })?;
        let mut key = self.key(subject, id);
        let (idle_timeout, absolute_timeout) =
            self.config.policy.session_timeouts(options.idle_timeout, options.absolute_timeout)?;
        let reauthentication = options.authenticated_at.map(|at| {
            let (methods, origin) = (options.methods.clone(), options.origin.clone());
            Reauthentication { at, methods, origin }
        });
        let later = reauthentication.as_ref().map(|last| &*last.methods).unwrap_or_default();
        let (json, claims) =
            self.writable_claims(&key, claims, &options.methods, later, self.now()).inspect_err(|error| {
                self.config.events.failed_for(EventKind::unwritten(error), error, &key.subject.name);
            })?;
        let now = self.now();
        let mut record = Arc::new(SessionRecord {
            id: key.id,
            family: Family {
                timing: self.config.policy.rotation_timing(),
                ..Family::begin(now, idle_timeout, absolute_timeout)
            },
            claims: json,
            stale_since: None,
            methods: options.methods,
            reauthentication,
            origin: options.origin,
            persistent: options.persistent,
            attached: options.attached,
        });
        #[cfg(feature = "vault")]
        for AttachToNew(attach) in &options.attach {
            attach(&key, &mut Arc::make_mut(&mut record).attached)?;
        }
        let raised = self.cap_with_replaced(&key.subject, &replaces).await?;
        let (run, revoked) = match self.create(&key.subject, &record, raised.cap).await? {
            Some(created) => created,
            None => {
                self.revocation.restore_run().await?;
                key.id = SessionId::random()?;
                Arc::make_mut(&mut record).id = key.id;
                #[cfg(feature = "vault")]
                for AttachToNew(attach) in &options.attach {
                    attach(&key, &mut Arc::make_mut(&mut record).attached)?;
                }
                self.create(&key.subject, &record, raised.cap).await?.ok_or_else(older_run_id_error)?
            }
        };
        if !revoked.is_empty() {
            self.config.events.of_subject(EventKind::Revoked { sessions: revoked.len() }, &key.subject.name);
        }
        for id in revoked {
            self.revocation.note_revoked(&SessionKey { id, ..key.clone() });
        }
        // The application may have locked the user during this sign-in, before there was a session to revoke. If the
        // hook does not answer, the first renewal calls it again.
        let claims = match self.config.reloader {
            None => claims,
            Some(_) => match self.reload(&key, &mut record).await {
                Ok(claims) => {
                    let later =
                        record.reauthentication.as_ref().map(|last| &*last.methods).unwrap_or_default();
                    let fits = self.check_fits_cookie(&key, &record.claims, &record.methods, later, now);
                    if let Err(error) = fits.and_then(|()| self.measure_readable(&claims)) {
                        self.report_unwritten(&error, &key);
                        self.revoke_new(&key).await;
                        return Err(error.into());
                    }
                    claims
                }
                Err(SessionError::Unavailable) => claims,
                Err(SessionError::Refused(_)) => return Err(SignInError::Refused),
            },
        };
        let new = NewSession { key, record, run, now, claims: Arc::new(claims) };
        let (minted, key) = (mint(&new), new.key);
        let minted = match minted {
            Ok(minted) => minted,
            Err(error) => {
                self.report_unwritten(&error, &key);
                self.revoke_new(&key).await;
                return Err(error.into());
            }
        };
        if let Err(error) = self.revoke_replaced(&key, &replaces, &raised).await {
            self.revoke_new(&key).await;
            return Err(error);
        }
        self.note_if_revoked(&key).await;
        self.config.events.of(EventKind::SignedIn, &key.id, &key.subject.name);
        Ok(minted)
    }

    /// Adds a session to the store. `None` if the store named an older run ID than before.
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<Option<(RunId, Vec<SessionId>)>, SignInError> {
        let create = async {
            match self.backend.store.create(subject, record, cap).await {
                Err(CreateError::Store(error)) => Err(error),
                answer => Ok(answer),
            }
        };
        let before = self.revocation.denylist.run();
        let created = self.backend.ask("create", create).await?;
        if let Err(CreateError::TooMany) = created {
            self.config.events.of_subject(EventKind::TooManySessions, &subject.name);
        }
        let (run, revoked) = created?;
        Ok(self.revocation.accept_run_id(before, run).is_ok().then_some((run, revoked)))
    }
}
