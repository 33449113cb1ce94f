//! Sign-in, and the cookies of a session.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{Engine, RenewError, active::VOID, run::went_back};
use crate::{
    claims::Claims,
    event::EventKind,
    id::{EntropyError, RunId, SessionId},
    protocol::{Family, PolicyError},
    store::{Cap, CreateError, SessionKey, SessionRecord, StoreError, Subject},
    time::Timestamp,
    token::{AccessToken, MintError, RefreshClaims},
};

/// A `Set-Cookie` line, and the cookie's name.
#[derive(Clone)]
pub(crate) struct CookieLine {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: HeaderValue,
}

impl From<(&str, HeaderValue)> for CookieLine {
    fn from((name, value): (&str, HeaderValue)) -> Self {
        Self { name: name.to_owned().into(), value }
    }
}

/// What a sign-in says beyond who it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignIn {
    pub(crate) methods: Vec<String>,
    pub(crate) persistent: bool,
    /// Shorter than the policy's, if at all.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) absolute_timeout: Option<Duration>,
    pub(crate) origin: Option<Arc<str>>,
}

/// What an access token is minted from.
#[derive(Clone, Copy)]
pub(crate) struct Basis<'a> {
    pub(super) record: &'a SessionRecord,
    pub(super) key: &'a SessionKey,
    pub(super) run: RunId,
    pub(super) generation: u64,
    pub(super) proof_at: Option<Timestamp>,
    /// When the record was read. That is `iat`, however late the token leaves: or it would pass for
    /// newer than a change of claims that this instance has not heard of yet.
    pub(super) read_at: Timestamp,
}

impl<'a> Basis<'a> {
    pub(super) fn begun(
        record: &'a SessionRecord,
        key: &'a SessionKey,
        run: RunId,
        read_at: Timestamp,
    ) -> Self {
        let generation = record.family.generation;
        Self { record, key, run, generation, proof_at: record.reauthenticated_at(), read_at }
    }
}

/// A session that has just begun.
pub(super) struct Begun<C> {
    pub(super) key: SessionKey,
    pub(super) record: Arc<SessionRecord>,
    pub(super) run: RunId,
    pub(super) now: Timestamp,
    /// The claims, as the next request will read them: those of the application's hook, if it gave some.
    pub(super) claims: C,
}

/// Why a sign-in failed. No session was opened, and those that it would have replaced go on.
///
/// If the store failed while they were being revoked, some of several may be revoked, and the new session
/// may be in the store. No client has its tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The claims do not fit into a cookie, cannot be written as JSON, or cannot be read back from it.
    #[error(transparent)]
    Claims(#[from] MintError),
    /// The subject is empty. That is no user's ID.
    #[error("the subject is empty")]
    EmptySubject,
    /// The subject has as many sessions as it may have.
    #[error("the subject has too many sessions")]
    TooManySessions,
    /// The application's hook says that the user may not go on, and the session has ended again.
    #[error("the user may not sign in")]
    Refused,
    /// The lifetimes that the sign-in asked for are not within the policy's, which the error names too.
    #[error(transparent)]
    Lifetime(#[from] PolicyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
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
    /// Opens a session, revokes those it replaces, and answers with its id and its cookies.
    pub(crate) async fn open(
        &self,
        subject: &str,
        claims: &C,
        sign_in: SignIn,
        replaces: Vec<SessionKey>,
    ) -> Result<(SessionId, Vec<CookieLine>), SignInError> {
        let begun = self.begin(subject, claims, sign_in, replaces).await?;
        let Begun { key, record, run, now, claims } = begun;
        let claims = Arc::new(claims);
        let access = self.access_line(&Basis::begun(&record, &key, run, now), Some(&claims), now)?;
        let refresh = self.refresh_line(&record, &key, run, now)?;
        let readable = self.readable_line(&claims, &record, now)?;
        let ours = [access, refresh].into_iter().chain(readable);
        Ok((key.id, self.former_removal_lines().chain(ours).collect()))
    }

    /// Opens a session, and then revokes those it replaces: if it cannot be opened, they go on.
    pub(super) async fn begin(
        &self,
        subject: &str,
        claims: &C,
        sign_in: SignIn,
        replaces: Vec<SessionKey>,
    ) -> Result<Begun<C>, SignInError> {
        if subject.is_empty() {
            return Err(SignInError::EmptySubject);
        }
        let id = SessionId::random().inspect_err(|error| {
            self.config.events.failed(EventKind::InternalError { operation: "sign_in" }, error);
        })?;
        let mut key = self.key(subject, id);
        let (idle_timeout, absolute_timeout) =
            self.config.policy.lifetimes(sign_in.idle_timeout, sign_in.absolute_timeout)?;
        let (json, claims) =
            self.writable_claims(&key, claims, &sign_in.methods, &[], self.now()).inspect_err(|error| {
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
            methods: sign_in.methods,
            reauthentication: None,
            origin: sign_in.origin,
            persistent: sign_in.persistent,
        });
        let room = self.room_beside(&key.subject, &replaces).await?;
        let (run, ended) = match self.create(&key.subject, &record, room.cap).await? {
            Some(created) => created,
            None => {
                self.restore_run().await?;
                key.id = SessionId::random()?;
                Arc::make_mut(&mut record).id = key.id;
                self.create(&key.subject, &record, room.cap).await?.ok_or_else(went_back)?
            }
        };
        if !ended.is_empty() {
            self.config.events.of_subject(EventKind::Revoked { sessions: ended.len() }, &key.subject.name);
        }
        for id in ended {
            self.revocations.revoke(&SessionKey { id, ..key.clone() }, self.monotonic());
        }
        // Whoever was locked since the application looked, and before there was a session to end, has
        // one now. Where nobody knows, its look of a moment ago has to do until the first renewal.
        let claims = match self.config.reloader {
            None => claims,
            Some(_) => match self.reload(&key, &mut record).await {
                Ok(claims) => {
                    let fits = self.measure(&key, &record.claims, &record.methods, &[], now);
                    if let Err(error) = fits.and_then(|()| self.measure_readable(&claims)) {
                        self.report_unwritten(&error, &key);
                        self.undo(&key).await;
                        return Err(error.into());
                    }
                    claims
                }
                Err(RenewError::Unavailable) => claims,
                Err(RenewError::Refused(_)) => return Err(SignInError::Refused),
            },
        };
        if let Err(error) = self.replace(&key, &replaces, &room).await {
            self.undo(&key).await;
            return Err(error);
        }
        self.look_again(&key).await;
        self.config.events.of(EventKind::SignedIn, &key.id, &key.subject.name);
        Ok(Begun { key, record, run, now, claims })
    }

    /// Adds a session to the store. None if it belongs to an older run than is known here: the store
    /// went back.
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<Option<(RunId, Vec<SessionId>)>, SignInError> {
        let create = async {
            match self.store.create(subject, record, cap).await {
                Err(CreateError::Store(error)) => Err(error),
                answer => Ok(answer),
            }
        };
        let before = self.revocations.run();
        let created = self.ask("create", create).await?;
        if let Err(CreateError::TooMany) = created {
            self.config.events.of_subject(EventKind::TooManySessions, &subject.name);
        }
        let (run, ended) = created?;
        Ok(self.hear_run(before, run).is_ok().then_some((run, ended)))
    }

    /// Whether an access token with these claims fits into a cookie, also when its generation has
    /// grown and a proof of sign-in was added.
    pub(crate) fn measure(
        &self,
        key: &SessionKey,
        claims: &str,
        methods: &[String],
        proof_methods: &[String],
        now: Timestamp,
    ) -> Result<(), MintError> {
        let token = self.tokens().mint_access(&AccessToken {
            subject: &key.subject.name,
            session: key.id,
            generation: u64::MAX,
            run: RunId::SAMPLE,
            issued: now,
            now,
            limit: now + self.config.policy.timing().absolute_timeout,
            auth_time: now,
            proof_at: Some(now),
            methods,
            proof_methods,
            claims,
        })?;
        self.config
            .cookies
            .set(&self.config.cookies.access, &token, None)
            .map(drop)
            .ok_or(MintError::TooLong(token.len()))
    }

    /// The access cookie of a session, its lifetime counted from `now`.
    pub(super) fn access_line(
        &self,
        basis: &Basis<'_>,
        parsed: Option<&Arc<C>>,
        now: Timestamp,
    ) -> Result<CookieLine, MintError> {
        self.line(
            self.config.cookies.access.clone(),
            &self.access_token(basis, parsed, now)?,
            basis.record,
            now,
        )
    }

    /// The access token of a session, its lifetime counted from `now`. If the record's claims are at hand
    /// as `parsed`, it need not be verified when it first comes.
    pub(super) fn access_token(
        &self,
        basis: &Basis<'_>,
        parsed: Option<&Arc<C>>,
        now: Timestamp,
    ) -> Result<String, MintError> {
        let Basis { record, key, run, generation, proof_at, read_at } = *basis;
        let (methods, proof_methods): (Vec<String>, _) = match proof_at {
            Some(VOID) => (Vec::new(), &[][..]),
            _ => (record.all_methods().map(str::to_owned).collect(), record.reauthentication_methods()),
        };
        let token = AccessToken {
            subject: &key.subject.name,
            session: key.id,
            generation,
            run,
            issued: read_at.min(now),
            now,
            limit: record.family.absolute_deadline,
            auth_time: record.family.created_at,
            proof_at,
            methods: &methods,
            proof_methods,
            claims: &record.claims,
        };
        let tokens = self.tokens();
        let minted = tokens.mint_access(&token)?;
        if let Some(parsed) = parsed {
            self.remember(&tokens, &token, parsed, &minted);
        }
        Ok(minted)
    }

    /// The refresh cookie of a session's current generation: the same from every instance.
    pub(crate) fn refresh_line(
        &self,
        record: &SessionRecord,
        key: &SessionKey,
        run: RunId,
        now: Timestamp,
    ) -> Result<CookieLine, MintError> {
        let claims = RefreshClaims::of(&key.subject.name, key.id, &record.family, run);
        self.line(self.config.cookies.refresh.clone(), &self.tokens().mint_refresh(&claims)?, record, now)
    }

    pub(super) fn line(
        &self,
        name: Cow<'static, str>,
        token: &str,
        record: &SessionRecord,
        now: Timestamp,
    ) -> Result<CookieLine, MintError> {
        let left = || record.family.absolute_deadline.since(now).max(Duration::from_secs(1));
        let value = self.config.cookies.set(&name, token, record.persistent.then(left));
        Ok(CookieLine { name, value: value.ok_or(MintError::TooLong(token.len()))? })
    }

    /// The lines that remove the cookies.
    pub(crate) fn removal_lines(&self) -> Vec<CookieLine> {
        self.config.cookies.removals().map(CookieLine::from).collect()
    }

    /// The lines that remove the cookies of former times.
    fn former_removal_lines(&self) -> impl Iterator<Item = CookieLine> {
        self.config.cookies.former_removals().map(CookieLine::from)
    }
}
