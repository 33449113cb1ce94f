//! Sign-in: opens a session.

use std::{io, sync::Arc, time::Duration};

use super::{CookieLine, Engine, mint::TokenBasis};
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
    /// Values that are kept with the session.
    pub(crate) attached: Attached,
    /// Functions that attach more values, once the session ID is known.
    #[cfg(feature = "vault")]
    pub(crate) attach: Vec<AttachToNew>,
    /// When the user authenticated, if that was before the sign-in. The epoch stands for an unknown time.
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

/// Why a sign-in failed. No client has tokens of the new session. The sessions that the sign-in would have replaced
/// stay, except in two cases:
///
/// - The store failed while or after these sessions were revoked. Then some or all of them may be revoked.
/// - Another sign-in revoked one of these sessions first. Then this sign-in revokes the others, and checks the maximum
///   number of sessions again. If this check refuses the new session ([`TooManySessions`](Self::TooManySessions)), all
///   of these sessions are already revoked.
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
    /// The claims reload hook refused the user. The new session was revoked. If this revocation
    /// failed, the session stays in the store until it expires.
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
    /// Opens a session, revokes the sessions that it replaces, and returns its ID and its cookies.
    pub(crate) async fn sign_in(
        &self,
        subject: &str,
        claims: &C,
        options: SignInOptions,
        replaced: Vec<SessionKey>,
    ) -> Result<(SessionId, Vec<CookieLine>), SignInError> {
        let mint = |new: &NewSession<C>| {
            let NewSession { key, record, run, now, claims } = new;
            let (codec, basis) = (self.tokens.codec(), TokenBasis::of(record, key, *run, *now));
            let access = self.access_line(&codec, &basis, Some(claims), *now)?;
            let refresh = self.refresh_line(&codec, &basis, *now)?;
            let readable = self.readable_line(claims, record, *now)?;
            let former = self.config.cookies.former_removals().map(CookieLine::from);
            Ok((key.id, former.chain([access, refresh]).chain(readable).collect()))
        };
        self.open_session(subject, claims, options, replaced, mint).await
    }

    /// Opens a session, mints its tokens, and then revokes the sessions that it replaces. If the store cannot open the
    /// session, or if minting fails, the replaced sessions stay. After a failure of minting, the new session is
    /// revoked.
    pub(super) async fn open_session<T>(
        &self,
        subject: &str,
        claims: &C,
        options: SignInOptions,
        replaced: Vec<SessionKey>,
        mint: impl FnOnce(&NewSession<C>) -> Result<T, MintError>,
    ) -> Result<T, SignInError> {
        if subject.is_empty() {
            return Err(SignInError::EmptySubject);
        }
        let id = SessionId::random().inspect_err(|error| {
            self.config.events.failed(EventKind::InternalError { operation: "sign_in" }, error);
        })?;
        let mut key = self.key(subject, id);
        #[cfg(feature = "vault")]
        let attach_all = options.attach.clone();
        let (record, claims) = self.new_record(&key, claims, options)?;
        let now = record.family.created_at;
        let mut record = Arc::new(record);
        #[cfg(feature = "vault")]
        for AttachToNew(attach) in &attach_all {
            attach(&key, &mut Arc::make_mut(&mut record).attached)?;
        }
        let raised_cap = self.cap_with_replaced(&key.subject, &replaced).await?;
        let (run, revoked) = match self.create(&key.subject, &record, raised_cap.cap).await? {
            Some(created) => created,
            // Raise the store's run ID to the one that this instance knows, and create the session again. The first
            // record may be in the store under the first ID, so this record gets another ID.
            None => {
                self.revocation.restore_run_id().await?;
                key.id = SessionId::random()?;
                Arc::make_mut(&mut record).id = key.id;
                #[cfg(feature = "vault")]
                for AttachToNew(attach) in &attach_all {
                    attach(&key, &mut Arc::make_mut(&mut record).attached)?;
                }
                self.create(&key.subject, &record, raised_cap.cap).await?.ok_or_else(older_run_id_error)?
            }
        };
        if !revoked.is_empty() {
            self.config.events.of_subject(EventKind::Revoked { sessions: revoked.len() }, &key.subject.name);
        }
        for id in revoked {
            self.revocation.note_revoked(&SessionKey { id, ..key.clone() });
        }
        let claims = self.claims_at_sign_in(&key, &mut record, claims).await?;
        let new = NewSession { key, record, run, now, claims: Arc::new(claims) };
        let (minted, key) = (mint(&new), new.key);
        let minted = match minted {
            Ok(minted) => minted,
            Err(error) => return Err(self.give_up_new(&key, error).await),
        };
        if let Err(error) = self.revoke_replaced(&key, &replaced, &raised_cap).await {
            self.revoke_new(&key).await;
            return Err(error);
        }
        self.note_if_revoked(&key).await;
        self.config.events.of(EventKind::SignedIn, &key.id, &key.subject.name);
        Ok(minted)
    }

    /// The record of a session that begins now, and its claims as the next request will read them.
    fn new_record(
        &self,
        key: &SessionKey,
        claims: &C,
        options: SignInOptions,
    ) -> Result<(SessionRecord, C), SignInError> {
        let (idle_timeout, absolute_timeout) =
            self.config.policy.session_timeouts(options.idle_timeout, options.absolute_timeout)?;
        let reauthentication = options.authenticated_at.map(|at| {
            let (methods, origin) = (options.methods.clone(), options.origin.clone());
            Reauthentication { at, methods, origin }
        });
        let (json, claims) = self
            .writable_claims(key, claims, &options.methods, methods_of(reauthentication.as_ref()), self.now())
            .inspect_err(|error| {
                self.config.events.failed_for(EventKind::unwritten(error), error, &key.subject.name);
            })?;
        let timing = self.config.policy.rotation_timing();
        let family = Family { timing, ..Family::begin(self.now(), idle_timeout, absolute_timeout) };
        let record = SessionRecord {
            id: key.id,
            family,
            claims: json,
            stale_since: None,
            methods: options.methods,
            reauthentication,
            origin: options.origin,
            persistent: options.persistent,
            attached: options.attached,
        };
        Ok((record, claims))
    }

    /// Calls the claims reload hook, because the application may have locked the user during this sign-in, before there
    /// was a session to revoke. If the hook does not answer, the first renewal calls the hook again.
    async fn claims_at_sign_in(
        &self,
        key: &SessionKey,
        record: &mut Arc<SessionRecord>,
        claims: C,
    ) -> Result<C, SignInError> {
        if self.config.reloader.is_none() {
            return Ok(claims);
        }
        let claims = match self.reload(key, record).await {
            Ok(claims) => claims,
            Err(SessionError::Unavailable) => return Ok(claims),
            Err(SessionError::Refused(_)) => return Err(SignInError::Refused),
        };
        let (methods, now) = (methods_of(record.reauthentication.as_ref()), record.family.created_at);
        let fits = self.check_fits_cookie(key, &record.claims, &record.methods, methods, now);
        match fits.and_then(|()| self.check_readable_fits(&claims)) {
            Ok(()) => Ok(claims),
            Err(error) => Err(self.give_up_new(key, error).await),
        }
    }

    /// Revokes the new session, because its tokens could not be minted.
    async fn give_up_new(&self, key: &SessionKey, error: MintError) -> SignInError {
        self.report_unwritten(&error, key);
        self.revoke_new(key).await;
        error.into()
    }

    /// Adds a session to the store. `None` if the store's run ID is older than the one that this instance knows: then
    /// the store has lost the revocation of all sessions.
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
        let run_before = self.revocation.denylist.run();
        let created = self.backend.ask("create", create).await?;
        if let Err(CreateError::TooMany) = created {
            self.config.events.of_subject(EventKind::TooManySessions, &subject.name);
        }
        let (run, revoked) = created?;
        Ok(self.revocation.accept_run_id(run_before, run).is_ok().then_some((run, revoked)))
    }
}

/// The methods of a re-authentication.
fn methods_of(reauthentication: Option<&Reauthentication>) -> &[String] {
    reauthentication.map(|last| &*last.methods).unwrap_or_default()
}
