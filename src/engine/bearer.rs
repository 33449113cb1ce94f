//! Authentication by a bearer token (RFC 6750): an access token without a refresh token, so nothing is
//! renewed.

use std::sync::Arc;

use super::{Authenticated, Decision, Engine, Outcome, RequestContext, SessionView, VerifiedToken};
use crate::{
    claims::Claims,
    event::EventKind,
    protocol::{Assessment, LEEWAY, Refusal, Standing, assess},
    rejection::RejectionKind,
    revocation::SessionError,
    store::SessionRecord,
    time::{Reading, Timestamp},
    token::InvalidToken,
};

/// Whether an access token is accepted where nothing can be renewed.
pub(super) enum Verdict {
    Accepted,
    /// The store must be asked: whether the session is revoked, or which claims it has now.
    AskStore,
    Refused(Refusal),
}

impl<C: Claims> Engine<C> {
    pub(super) fn authenticate_bearer(
        self: &Arc<Self>,
        token: &[u8],
        context: &RequestContext,
    ) -> Decision<C> {
        let refused = |refusal| Decision::rejected(RejectionKind::InvalidBearer(refusal));
        let token = match self.verify(token) {
            Ok(token) => token,
            // Another instance has the key. With 401, the client would ask for a new token.
            Err(InvalidToken::NewKey) => return Decision::rejected(RejectionKind::Unavailable),
            Err(InvalidToken::Unreadable) => return refused(Refusal::UnreadableClaims),
            Err(_) => return refused(Refusal::BadToken),
        };
        let session = self.newest(&token);
        match self.judge(&session, context.arrived) {
            Verdict::Accepted => {
                if !context.passive {
                    self.confirm_once(&token, context.with_body, context.arrived.wall);
                }
                let presented = token.said.generation;
                Decision::Ready(Outcome::Session { session, presented, renewal: None })
            }
            Verdict::AskStore => Decision::ask(self.clone().look_up_or_refuse(token, context.clone())),
            Verdict::Refused(refusal) => {
                // An expired token is no event.
                if matches!(refusal, Refusal::Revoked | Refusal::OtherRunId) {
                    let key = &token.said.key;
                    self.config.events.of(EventKind::Refused(refusal), &key.id, &key.subject.name);
                }
                refused(refusal)
            }
        }
    }

    /// The session of a token, as far as this instance knows it.
    pub(super) fn newest(&self, token: &Arc<VerifiedToken<C>>) -> Authenticated<C> {
        Authenticated { token: token.clone(), later: token.later() }
    }

    /// Judges a verified access token alone.
    pub(super) fn judge(&self, session: &Authenticated<C>, now: Reading) -> Verdict {
        let view = session.view();
        let standing = self.standing_of(view);
        match standing {
            Standing::Good | Standing::Stale => {}
            Standing::Revoked => return Verdict::Refused(Refusal::Revoked),
            Standing::OtherRunId if self.revocation.denylist.is_older_run(view.run) => {
                return Verdict::Refused(Refusal::OtherRunId);
            }
            // The run ID is not known here yet.
            Standing::OtherRunId => {}
        }
        match assess(&self.config.policy, Some(&view.facts()), Standing::Good, now.wall) {
            Assessment::Renew if now.wall >= view.expires => Verdict::Refused(Refusal::Expired),
            Assessment::Renew => Verdict::Refused(Refusal::BadToken),
            Assessment::Admit | Assessment::AdmitOrRenew => {
                let known = standing == Standing::Good
                    && !is_ahead(view, now.wall)
                    && self.revocation.knows_revocations(now)
                    && !self.is_doubtful(&session.token, now);
                if known { Verdict::Accepted } else { Verdict::AskStore }
            }
        }
    }

    pub(super) fn standing_of(&self, view: &SessionView<C>) -> Standing {
        let key = &view.key;
        self.revocation.denylist.standing(view.run, &key.id, &key.subject.name, view.as_of)
    }

    async fn look_up_or_refuse(
        self: Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        context: RequestContext,
    ) -> Outcome<C> {
        let looked_up = async {
            let (mut session, record) = self.look_up(&token).await?;
            self.judge_origin(&mut session, &record, context.origin.as_deref())?;
            Ok(session)
        };
        match looked_up.await {
            Ok(session) => {
                if !context.passive {
                    self.confirm_once(&token, context.with_body, self.now());
                }
                Outcome::Session { session, presented: token.said.generation, renewal: None }
            }
            Err(SessionError::Unavailable) => Outcome::Rejected(RejectionKind::Unavailable),
            Err(SessionError::Refused(refusal)) => {
                let key = &token.said.key;
                self.config.events.of(EventKind::Refused(refusal), &key.id, &key.subject.name);
                Outcome::Rejected(RejectionKind::InvalidBearer(refusal))
            }
        }
    }

    /// Asks the store about the session of an access token. If its claims have changed, it is served with
    /// the current ones, since its client cannot get another token here. They are remembered until they
    /// change again.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
    ) -> Result<(Authenticated<C>, Arc<SessionRecord>), SessionError> {
        let (mut session, key, run) = (self.newest(token), &token.said.key, token.said.run);
        let (now, asked_at) = (self.now(), self.revocation.monotonic());
        let mut record = Arc::new(self.read_live(key, run, now).await?);
        let as_of = session.view().as_of;
        let changed = record.stale_since.is_some_and(|since| as_of.as_secs() <= since.as_secs())
            || is_ahead(session.view(), now);
        if changed || self.standing_of(session.view()) == Standing::Stale {
            let claims = self.reload(key, &mut record).await?;
            let later = Arc::new(token.said.updated(&record, claims, now));
            // Another request may come from another origin.
            if !self.config.origins.are_compared() {
                token.set_later(later.clone());
            }
            session.later = Some(later);
        }
        // It may have been revoked since the record was read.
        self.revocation.denylist.check(&key.id, run)?;
        token.vouch(asked_at);
        Ok((session, record))
    }
}

/// Whether the session was read when the clock was ahead: changes of the claims since look older.
fn is_ahead<C>(view: &SessionView<C>, now: Timestamp) -> bool {
    view.as_of > now + LEEWAY
}
