//! What only the store can tell of a request.

use std::{pin::Pin, sync::Arc};

use super::{
    Active, Engine, Renewal,
    bearer::Found,
    renew::{Asking, RenewError, known},
};
use crate::{
    claims::Claims,
    event::EventKind,
    protocol::{Refusal, Standing},
    token::RefreshClaims,
};

/// A question for the store.
pub(crate) enum Question<C> {
    /// The session must be renewed. If that is not to be had for now, `otherwise` will do.
    Renew { refresh: RefreshClaims, otherwise: Option<Arc<Active<C>>> },
    /// The access token is good, but whether its session has ended is not known here.
    Check { active: Arc<Active<C>>, refresh: Option<RefreshClaims> },
    /// The access token is good, and nothing can be renewed: is its session, and with which claims?
    Look(Arc<Active<C>>),
}

/// What came of it.
pub(crate) enum Answer<C> {
    /// The access token will do.
    Active(Arc<Active<C>>),
    /// The session was renewed.
    Renewed(Renewal<C>),
    /// It would have been, but for a request that must not keep it alive.
    Looked(Renewal<C>),
    /// There is no session.
    Refused(Refusal),
    /// Nobody knows.
    Unavailable,
}

pub(crate) type Answering<C> = Pin<Box<dyn Future<Output = Answer<C>> + Send>>;

impl<C: Claims> Engine<C> {
    /// Each in a future of its own, which is no larger than what is asked.
    pub(crate) fn ask_store(self: Arc<Self>, question: Question<C>, asking: Asking) -> Answering<C> {
        match question {
            Question::Renew { refresh, otherwise } => Box::pin(self.renew_or(refresh, otherwise, asking)),
            Question::Check { active, refresh } => Box::pin(self.check_or_renew(active, refresh, asking)),
            Question::Look(active) => Box::pin(self.look(active, asking)),
        }
    }

    async fn check_or_renew(
        self: Arc<Self>,
        active: Arc<Active<C>>,
        refresh: Option<RefreshClaims>,
        asking: Asking,
    ) -> Answer<C> {
        match (self.check(&active).await, refresh) {
            (Ok(()), _) => {
                if !asking.passive {
                    self.confirm_once(&active, || asking.with_body, self.now());
                }
                Answer::Active(active)
            }
            (Err(RenewError::Unavailable), _) => Answer::Unavailable,
            // The refresh token decides alone, of this session or of another.
            (Err(RenewError::Refused(_)), Some(refresh)) => self.renew_or(refresh, None, asking).await,
            (Err(RenewError::Refused(refusal)), None) => Answer::Refused(refusal),
        }
    }

    async fn look(self: Arc<Self>, token: Arc<Active<C>>, asking: Asking) -> Answer<C> {
        let looked = async {
            let Found { mut active, record } = self.look_up(&token).await?;
            self.judge_origin(&mut active, &record, asking.origin.as_deref())?;
            Ok(active)
        };
        match looked.await {
            Ok(active) => {
                if !asking.passive {
                    self.confirm_once(&token, || asking.with_body, self.now());
                }
                Answer::Active(active)
            }
            Err(RenewError::Unavailable) => Answer::Unavailable,
            Err(RenewError::Refused(refusal)) => {
                self.config.events.of(EventKind::Refused(refusal), &token.key.id, &token.key.subject.name);
                Answer::Refused(refusal)
            }
        }
    }

    async fn renew_or(
        self: Arc<Self>,
        refresh: RefreshClaims,
        otherwise: Option<Arc<Active<C>>>,
        asking: Asking,
    ) -> Answer<C> {
        match (self.renew(refresh, &asking).await, otherwise) {
            // Cookies with a fresh access token would hide the next request of a person.
            (Ok(renewal), _) if asking.passive => Answer::Looked(renewal),
            (Ok(renewal), _) => Answer::Renewed(renewal),
            (Err(RenewError::Unavailable), Some(active)) if self.standing(&active) == Standing::Good => {
                Answer::Active(active)
            }
            // The access token is still good, and this says nothing against its session.
            (Err(RenewError::Refused(Refusal::Stale)), Some(active)) if self.now() < active.expires => {
                Answer::Active(active)
            }
            (Err(RenewError::Unavailable), _) => Answer::Unavailable,
            (Err(RenewError::Refused(refusal)), _) => Answer::Refused(refusal),
        }
    }

    /// Whether the store knows nothing against a session.
    pub(super) async fn check(&self, active: &Active<C>) -> Result<(), RenewError> {
        let asked_at = self.monotonic();
        let snapshot = self.ask_about("get", active.run, self.store.get(&active.key)).await?;
        let record = known(snapshot, active.run)?;
        if record.family.revoked || self.revocations.is_revoked(&active.key.id) {
            return Err(self.refused_by_record(&active.key, Refusal::Denylisted));
        }
        if !self.is_live(&record.family, self.now()) {
            return Err(Refusal::Expired.into());
        }
        if record.stale_since.is_some_and(|since| active.issued.as_secs() <= since.as_secs()) {
            return Err(Refusal::StaleClaims.into());
        }
        active.vouch(asked_at);
        Ok(())
    }
}
