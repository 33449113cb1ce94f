//! A provider's own tokens: the access and refresh tokens that Google, GitHub or Facebook gave to a user who signed in
//! there, or who connected an account. [`guide::provider_tokens`](crate::guide::provider_tokens) shows how to use it.
//!
//! The tokens are in the session store, sealed with AES-256-GCM under a key that is derived from the
//! [`Keyring`](crate::Keyring). They are never in a cookie, and in no log, error or `Debug`. The sealed value is bound
//! to its session or subject and its provider, so a value that is copied over that of another user does not open.
//!
//! # Renewal
//! An access token that is about to expire is renewed when it is asked for, by one request to the provider for all
//! parallel calls on all instances: calls in one process share it, and a lease in the stored value keeps other
//! instances from asking too. They wait, and use what was written. While the old access token is still valid, no call
//! waits for another instance, and a failure of the provider is only an event.
//!
//! A failure of the provider is not a loss: the tokens stay, calls get [`VaultError::Unavailable`], and the provider is
//! asked again after 5 seconds. If the provider refuses the refresh token (`invalid_grant`), that is stored, and calls
//! get [`VaultError::SignInAgain`] without asking it again.
//!
//! # When an instance dies
//! The provider answers, and the instance dies before it has written the answer. Then the answer is lost. When the
//! lease has ended, the next call tries the old refresh token:
//! - A provider that does not rotate refresh tokens (Google), or accepts the last one for a while, answers, and nothing
//!   is lost.
//! - A provider that rotates them refuses it, and may revoke all tokens of the user, as it must take this for reuse of
//!   a refresh token. Calls get [`VaultError::SignInAgain`] with [`Lost::Interrupted`], and the event says
//!   `interrupted`.
//!
//! A store that loses its last writes in a failover, or that is restored from a backup, has the old refresh token
//! again, which is the same to the provider.
//!
//! This cannot be avoided here: only the dead instance had the new refresh token. A refresh token is in one request at
//! a time, and never in a second one while a lease is held.
//!
//! # Keys
//! A value that an older key of the ring sealed is sealed again with the signing key when it is next used. A value that
//! is not used keeps its key.
//!
//! - Tokens kept with sessions are deleted with them, within one absolute timeout. A [retired](crate::Keyring::retire)
//!   key verifies that long, so nothing is lost.
//! - Tokens kept with subjects may be older. Retire a key no earlier than the age of [`Provider::with_subject`] after
//!   another one was promoted, or use the tokens of each subject once before that in a job that calls
//!   [`access_token_for_subject`](Vault::access_token_for_subject). What is left answers
//!   [`VaultError::Unreadable`], and its user connects the account again.
//! - After a [pull](crate::Keyring::pull), values that only the pulled key sealed are unreadable. If that key leaked
//!   together with the database, the provider's tokens did, too: revoke them there.
//!
//! # What the seal does not do
//! An attacker who can write to the database can put back an older sealed value of the same owner, or delete one.

mod endpoint;
mod error;
mod kept;
mod provider;
mod renewal;
mod secret;
mod slot;
mod tokens;

pub use self::{
    endpoint::TokenEndpoint,
    error::{Lost, ProviderFailure, RefreshError, VaultError},
    provider::Provider,
    tokens::TokenSet,
};

use std::{fmt, io, sync::Arc};

use self::{kept::Owner, renewal::Renewal};
use crate::{
    backend::SingleFlight,
    claims::Claims,
    engine::{AttachToNew, EngineHandle},
    id::SessionId,
    session::{Session, SignIn},
    sessions::Sessions,
    store::{Attached, SessionKey},
};

/// Keeps the tokens that users have at providers. Cheap to clone. Keep it in the application's state.
pub struct Vault<C = ()>(Arc<Inner<C>>);

struct Inner<C> {
    engine: EngineHandle<C>,
    providers: Vec<Provider>,
    renewals: SingleFlight<(Owner, Arc<str>), Result<TokenSet, VaultError>>,
}

impl<C: Claims> Vault<C> {
    /// A vault for these providers, in the store of `sessions`.
    pub fn new(sessions: &Sessions<C>, providers: impl IntoIterator<Item = Provider>) -> Self {
        let (engine, providers) = (sessions.engine.clone(), providers.into_iter().collect());
        Self(Arc::new(Inner { engine, providers, renewals: SingleFlight::default() }))
    }

    /// Keeps the tokens of a provider for this session, or for its subject, in the place of earlier ones.
    ///
    /// # Errors
    /// [`VaultError::Ended`], [`VaultError::TooLong`], or a failure of the store.
    pub async fn keep(
        &self,
        session: &Session<C>,
        provider: &str,
        tokens: &TokenSet,
    ) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner(session, provider), provider, Some(tokens)).await
    }

    /// Keeps the tokens of a provider with a subject, for providers with
    /// [`Provider::with_subject`].
    ///
    /// # Errors
    /// As [`keep`](Self::keep), and [`VaultError::NeedsSession`].
    pub async fn keep_for_subject(
        &self,
        subject: &str,
        provider: &str,
        tokens: &TokenSet,
    ) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner_of_subject(subject, provider)?, provider, Some(tokens)).await
    }

    /// A sign-in whose session has these tokens from its beginning, for providers whose tokens are kept with sessions.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] mod example {
    /// use tower_sliding_sessions::{SetCookies, SignInError, Visitor, vault::{TokenSet, Vault}};
    /// # async fn example(vault: Vault, visitor: Visitor, tokens: TokenSet) -> Result<SetCookies, Box<dyn std::error::Error>> {
    /// let cookies = vault.sign_in(visitor.sign_in("ann", ()), "github", &tokens)?.await?;
    /// # Ok(cookies) } }
    /// ```
    ///
    /// # Errors
    /// [`VaultError::UnknownProvider`], [`VaultError::TooLong`], and [`VaultError::NeedsSubject`].
    pub fn sign_in<'v, K>(
        &self,
        sign_in: SignIn<'v, C, K>,
        provider: &str,
        tokens: &TokenSet,
    ) -> Result<SignIn<'v, C, K>, VaultError> {
        let provider = self.provider(provider)?;
        if provider.with_subject.is_some() {
            return Err(VaultError::NeedsSubject);
        }
        let engine = &self.0.engine;
        let (kept, name) = (renewal::kept(provider, tokens.clone(), engine.now())?, provider.name.clone());
        // It is written when the session has its ID. Whether it can be, the caller learns now.
        let anyone = Owner::Session(engine.key("", SessionId::from_bytes([0; 32])));
        kept.sealed(engine.tokens.codec().keys(), &anyone, &name)?;
        let engine = (**engine).clone();
        let attach = move |key: &SessionKey, attached: &mut Attached| {
            let owner = Owner::Session(key.clone());
            let sealed =
                kept.sealed(engine.tokens.codec().keys(), &owner, &name).map_err(io::Error::other)?;
            attached.set(&slot::name(&name), Some(&sealed));
            Ok(())
        };
        Ok(sign_in.with(|options| options.attach.push(AttachToNew(Arc::new(attach)))))
    }

    /// An access token that can be used: one that is about to expire is renewed first. The answer has no refresh token.
    ///
    /// It costs one read of the store, and a write if the token was renewed.
    ///
    /// # Errors
    /// [`VaultError`]. With [`VaultError::SignInAgain`] and [`VaultError::Missing`], send the user to the provider;
    /// with [`VaultError::Unavailable`] and [`VaultError::Store`], try again later.
    pub async fn access_token(&self, session: &Session<C>, provider: &str) -> Result<TokenSet, VaultError> {
        let provider = self.provider(provider)?;
        self.usable(self.owner(session, provider), provider, None).await
    }

    /// The same for a subject, without a session: for background work.
    ///
    /// # Errors
    /// As [`access_token`](Self::access_token), and [`VaultError::NeedsSession`].
    pub async fn access_token_for_subject(
        &self,
        subject: &str,
        provider: &str,
    ) -> Result<TokenSet, VaultError> {
        let provider = self.provider(provider)?;
        self.usable(self.owner_of_subject(subject, provider)?, provider, None).await
    }

    /// Another access token than `rejected`, which the provider refused with 401 although it had not expired. If
    /// parallel calls were refused, one request renews it for all of them. A token that came less than 10 seconds ago
    /// is not renewed: the answer is [`VaultError::Unavailable`].
    ///
    /// # Errors
    /// As [`access_token`](Self::access_token).
    pub async fn access_token_after(
        &self,
        session: &Session<C>,
        provider: &str,
        rejected: &TokenSet,
    ) -> Result<TokenSet, VaultError> {
        let provider = self.provider(provider)?;
        self.usable(self.owner(session, provider), provider, Some(rejected)).await
    }

    /// Forgets the tokens of a provider. They stay valid at the provider: revoke them there, if it can.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn forget(&self, session: &Session<C>, provider: &str) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner(session, provider), provider, None).await
    }

    /// The same for a subject, without a session: for the deletion of an account.
    ///
    /// # Errors
    /// A failure of the store, and [`VaultError::NeedsSession`].
    pub async fn forget_subject(&self, subject: &str, provider: &str) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner_of_subject(subject, provider)?, provider, None).await
    }

    fn provider(&self, name: &str) -> Result<&Provider, VaultError> {
        self.0.providers.iter().find(|provider| *provider.name == *name).ok_or(VaultError::UnknownProvider)
    }

    fn owner(&self, session: &Session<C>, provider: &Provider) -> Owner {
        let key = session.key();
        if provider.with_subject.is_some() {
            Owner::Subject(key.subject.clone())
        } else {
            Owner::Session(key.clone())
        }
    }

    fn owner_of_subject(&self, subject: &str, provider: &Provider) -> Result<Owner, VaultError> {
        let owner = || Owner::Subject(self.0.engine.subject(subject));
        provider.with_subject.map(|_| owner()).ok_or(VaultError::NeedsSession)
    }

    async fn replace(
        &self,
        owner: &Owner,
        provider: &Provider,
        tokens: Option<&TokenSet>,
    ) -> Result<(), VaultError> {
        let engine = &self.0.engine;
        let kept = tokens.map(|tokens| renewal::kept(provider, tokens.clone(), engine.now())).transpose()?;
        slot::write(engine, owner, &provider.name, None, kept.as_ref()).await.map(drop)
    }

    async fn usable(
        &self,
        owner: Owner,
        provider: &Provider,
        rejected: Option<&TokenSet>,
    ) -> Result<TokenSet, VaultError> {
        let engine = &self.0.engine;
        let slot = slot::read(engine, &owner, &provider.name).await;
        if let Err(error @ VaultError::Unreadable) = &slot {
            renewal::report(engine, &owner, provider, "unreadable", error, &[]);
        }
        let slot = slot?;
        let kept = slot.kept.as_ref().ok_or(VaultError::Missing)?;
        let is_rejected = |tokens: &TokenSet| {
            rejected.is_some_and(|rejected| rejected.access_token() == tokens.access_token())
        };
        if kept.is_fresh(engine.now(), provider.margin) && !is_rejected(&kept.tokens) {
            if !slot.by_signing_key {
                // No error if another call changed it, or if the store failed: the next use tries again.
                let _reported =
                    slot::write(engine, &owner, &provider.name, Some(&slot.seen), Some(kept)).await;
            }
            return Ok(kept.tokens.to_use());
        }
        let key = (owner.clone(), provider.name.clone());
        // A run that was there already may not know that this token was refused.
        for _ in 0..2 {
            let renewal = || {
                let (engine, owner, provider) = ((**engine).clone(), owner.clone(), provider.clone());
                Renewal { engine, owner, provider, rejected: rejected.cloned() }.run()
            };
            let Some((outcome, _)) = self.0.renewals.join(key.clone(), renewal).await else { break };
            match outcome {
                Ok(tokens) if is_rejected(&tokens) => {}
                outcome => return outcome,
            }
        }
        Err(VaultError::Unavailable(ProviderFailure("the renewal did not end".into())))
    }
}

impl<C> Clone for Vault<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Vault<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("providers", &self.0.providers).finish_non_exhaustive()
    }
}
