//! Keeps a provider's own tokens: the access and refresh tokens that Google, GitHub or Facebook issued for a user who
//! signed in there, or who connected an account. [`guide::provider_tokens`](crate::guide::provider_tokens) shows how to
//! use the vault.
//!
//! The tokens are in the session store. They are sealed with AES-256-GCM under a key that is derived from the
//! [`Keyring`](crate::Keyring). No cookie, log, error or `Debug` output contains the tokens. A sealed value is bound to
//! its provider and to its session or subject. So if an attacker copies a sealed value to another user, the copy does
//! not open.
//!
//! # Renewal
//! The vault renews an access token when the application asks for it and it is about to expire. Parallel calls on all
//! instances cause one request to the provider: calls in one process share the request, and a lease in the stored value
//! keeps other instances from sending another request. The other instances wait, and use the new tokens from the store.
//! As long as the old access token is valid and the provider has not rejected it, calls do not wait for another
//! instance. A failure of the provider is then only an event: calls get the old access token.
//!
//! After a failure of the provider, the vault keeps the tokens, and asks the provider again after 5 seconds at the
//! earliest. Until then, calls get [`VaultError::Unavailable`] if the access token has expired. If the provider refuses
//! the refresh token (`invalid_grant`), the vault stores this result, and does not ask the provider again. Calls then
//! get [`VaultError::SignInAgain`] when the access token has expired.
//!
//! # When an instance dies
//! Suppose that the provider answers, and the instance crashes before it has written the answer. Then the answer is
//! lost. When the lease has expired, the next call sends the old refresh token:
//!
//! - If the provider does not rotate refresh tokens (Google), or accepts the previous refresh token for a while, it
//!   answers, and nothing is lost.
//! - If the provider rotates refresh tokens, it refuses the old refresh token. It may also revoke all tokens of the
//!   user, because it must treat the request as refresh token reuse. Calls get [`VaultError::SignInAgain`] with
//!   [`Lost::Interrupted`], and the event says `interrupted`.
//!
//! A store that loses its last writes in a failover, or that is restored from a backup, contains the old refresh token
//! again. For the provider, this is the same case.
//!
//! The vault cannot avoid this, because only the crashed instance had the new refresh token. As long as a lease lasts,
//! a refresh token is in at most one request at a time.
//!
//! # Keys
//! If an older key of the ring sealed a value, the vault seals the value again with the signing key at the next use. A
//! value that is not used keeps its key.
//!
//! - Tokens that are kept with sessions are deleted with their sessions, within one absolute timeout. A
//!   [retired](crate::Keyring::retire) key verifies for this time, so nothing is lost.
//! - Tokens that are kept with subjects may be older. After you promoted another key, wait for the age of
//!   [`Provider::with_subject`] before you retire the old key. Or use the tokens of each subject once before, in a job
//!   that calls [`access_token_for_subject`](Vault::access_token_for_subject). For tokens that are still sealed with
//!   the removed key, calls get [`VaultError::Unreadable`], and the user must connect the account again.
//! - After a [pull](crate::Keyring::pull), values that are sealed with the pulled key are unreadable. If the pulled key
//!   leaked together with the database, the provider's tokens leaked, too: revoke them at the provider.
//!
//! # What the seal does not do
//! An attacker who can write to the database can replace a sealed value with an older value of the same owner, or
//! delete a sealed value.

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

/// Keeps the tokens that users have at providers. A vault is cheap to clone. Keep it in the application's state.
pub struct Vault<C = ()>(Arc<Inner<C>>);

struct Inner<C> {
    engine: EngineHandle<C>,
    providers: Vec<Provider>,
    renewals: SingleFlight<(Owner, Arc<str>), Result<TokenSet, VaultError>>,
}

impl<C: Claims> Vault<C> {
    /// Makes a vault for these providers. The vault uses the store of `sessions`.
    pub fn new(sessions: &Sessions<C>, providers: impl IntoIterator<Item = Provider>) -> Self {
        let (engine, providers) = (sessions.engine.clone(), providers.into_iter().collect());
        Self(Arc::new(Inner { engine, providers, renewals: SingleFlight::default() }))
    }

    /// Keeps a provider's tokens with this session, or with its subject if the provider has [`Provider::with_subject`].
    /// Replaces earlier tokens of the provider.
    ///
    /// # Errors
    /// [`VaultError::UnknownProvider`], [`VaultError::Ended`], [`VaultError::TooLong`], [`VaultError::Sealing`], or a
    /// failure of the store.
    pub async fn keep(
        &self,
        session: &Session<C>,
        provider: &str,
        tokens: &TokenSet,
    ) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner(session, provider), provider, Some(tokens)).await
    }

    /// Keeps a provider's tokens with a subject, without a session. The provider must have [`Provider::with_subject`].
    ///
    /// # Errors
    /// The errors of [`keep`](Self::keep), and [`VaultError::NeedsSession`].
    pub async fn keep_for_subject(
        &self,
        subject: &str,
        provider: &str,
        tokens: &TokenSet,
    ) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner_of_subject(subject, provider)?, provider, Some(tokens)).await
    }

    /// Adds tokens to a sign-in, so that the new session has these tokens from the start. Only for providers whose
    /// tokens are kept with sessions.
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
    /// [`VaultError::UnknownProvider`], [`VaultError::TooLong`], [`VaultError::Sealing`], and
    /// [`VaultError::NeedsSubject`].
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
        // The tokens are sealed later, when the session has its ID. Seal them once now, so that the caller gets an
        // error now.
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

    /// Returns a usable access token. An access token that is about to expire is renewed first. The result does not
    /// contain the refresh token.
    ///
    /// A call reads the store once. A renewal reads the store again, and writes twice: the lease and the new tokens.
    ///
    /// # Errors
    /// [`VaultError`]. After [`VaultError::SignInAgain`] and [`VaultError::Missing`], send the user to the provider.
    /// After [`VaultError::Unavailable`] and [`VaultError::Store`], try again later.
    pub async fn access_token(&self, session: &Session<C>, provider: &str) -> Result<TokenSet, VaultError> {
        let provider = self.provider(provider)?;
        self.usable(self.owner(session, provider), provider, None).await
    }

    /// Returns a usable access token of a subject, as [`access_token`](Self::access_token) does for a session. For
    /// background work without a session.
    ///
    /// # Errors
    /// The errors of [`access_token`](Self::access_token), and [`VaultError::NeedsSession`].
    pub async fn access_token_for_subject(
        &self,
        subject: &str,
        provider: &str,
    ) -> Result<TokenSet, VaultError> {
        let provider = self.provider(provider)?;
        self.usable(self.owner_of_subject(subject, provider)?, provider, None).await
    }

    /// Returns another access token than `rejected`. Call this function if the provider answered 401 to `rejected`,
    /// although `rejected` had not expired. If the provider rejected the same access token in parallel calls, one
    /// request renews it for all of these calls. An access token that the vault got less than 10 seconds ago is not
    /// renewed: the error is then [`VaultError::Unavailable`].
    ///
    /// # Errors
    /// The errors of [`access_token`](Self::access_token).
    pub async fn access_token_after(
        &self,
        session: &Session<C>,
        provider: &str,
        rejected: &TokenSet,
    ) -> Result<TokenSet, VaultError> {
        let provider = self.provider(provider)?;
        self.usable(self.owner(session, provider), provider, Some(rejected)).await
    }

    /// Deletes the tokens of a provider from the vault. The tokens stay valid at the provider. If the provider can
    /// revoke tokens, revoke them there.
    ///
    /// # Errors
    /// [`VaultError::UnknownProvider`], [`VaultError::Ended`], or a failure of the store.
    pub async fn forget(&self, session: &Session<C>, provider: &str) -> Result<(), VaultError> {
        let provider = self.provider(provider)?;
        self.replace(&self.owner(session, provider), provider, None).await
    }

    /// Deletes the tokens of a provider that are kept with a subject, without a session. For the deletion of an
    /// account.
    ///
    /// # Errors
    /// [`VaultError::UnknownProvider`], [`VaultError::NeedsSession`], or a failure of the store.
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
                // If the store fails or another call has changed the value, the value stays as it is. The next use
                // tries again.
                let _reported =
                    slot::write(engine, &owner, &provider.name, Some(&slot.seen), Some(kept)).await;
            }
            return Ok(kept.tokens.to_use());
        }
        let key = (owner.clone(), provider.name.clone());
        // A renewal that was already in flight may not know that this access token was rejected. So try twice.
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
