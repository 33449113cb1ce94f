//! Judges a request by a bearer token (RFC 6750): an access token that no refresh token comes with,
//! and that nothing is renewed for.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

use super::{Active, Admission, Engine, Question, RenewError, renew::known};
use crate::{
    claims::Claims,
    event::EventKind,
    protocol::{Assessment, Refusal, Standing, assess},
    store::SessionRecord,
    time::Reading,
    token::InvalidToken,
};

/// By what a request shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Cookies,
    Bearer,
}

/// What there is to remember of where a request came from.
#[derive(Clone, Debug)]
pub(crate) struct Whence {
    pub(crate) via: Via,
    /// What the application says of the place, if that is compared.
    pub(crate) origin: Option<Arc<str>>,
}

/// The bearer token of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer<'h> {
    /// It has none. Whatever else it has is not for us.
    Absent,
    Token(&'h [u8]),
    /// It means to have one, or has two things to choose from.
    Malformed,
}

impl<'h> Bearer<'h> {
    /// Reads the `Authorization` header (RFC 6750, section 2.1).
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        match (lines.next(), lines.next()) {
            (None, _) => Self::Absent,
            (Some(line), None) => Self::of_line(line),
            // Two of another scheme are no business of ours.
            (Some(first), Some(second)) => {
                let others = [first, second].into_iter().chain(lines);
                match others.map(Self::of_line).all(|one| one == Self::Absent) {
                    true => Self::Absent,
                    false => Self::Malformed,
                }
            }
        }
    }

    fn of_line(line: &'h [u8]) -> Self {
        let end = line.iter().position(|b| !is_of_scheme(*b)).unwrap_or(line.len());
        let (scheme, rest) = line.split_at(end);
        // RFC 9110, section 11.1: schemes are compared without regard to case.
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Self::Absent;
        }
        let token = rest.iter().position(|b| *b != b' ').and_then(|start| rest.split_at_checked(start));
        match token {
            Some((b" ", token) | ([b' ', .., b' '], token)) if is_token68(token) => Self::Token(token),
            _ => Self::Malformed,
        }
    }
}

/// RFC 9110, section 5.6.2, as far as a scheme's name can differ from ours.
fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110, section 11.2.
fn is_token68(token: &[u8]) -> bool {
    let unpadded = token.iter().rposition(|b| *b != b'=').and_then(|last| token.get(..=last));
    unpadded.is_some_and(|token| token.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b)))
}

/// What an access token is worth where nothing can be renewed.
pub(super) enum Worth {
    Good,
    /// Only the store knows: whether it is still good, or what its claims are by now.
    Unknown,
    Nothing(Refusal),
}

impl<C: Claims> Engine<C> {
    pub(crate) fn admit_bearer(
        self: &Arc<Self>,
        token: &[u8],
        passive: bool,
        with_body: impl FnOnce() -> bool,
        arrived: Reading,
    ) -> Admission<C> {
        self.start();
        let token = match self.verify(token) {
            Ok(token) => token,
            // With 401, its client would ask for another one, and could be refused that, too.
            Err(InvalidToken::NewKey) => return Admission::Unknown,
            Err(InvalidToken::Unreadable) => return Admission::Refuse(Refusal::Claims),
            Err(_) => return Admission::Refuse(Refusal::BadToken),
        };
        let active = token.newest();
        match self.worth(&active, arrived) {
            Worth::Good => {
                if !passive {
                    self.confirm_once(&token, with_body, arrived.wall);
                }
                Admission::Active(active)
            }
            Worth::Unknown => Admission::Ask(Question::Look(token)),
            Worth::Nothing(refusal) => {
                // That a token expires is the course of things.
                if matches!(refusal, Refusal::Denylisted | Refusal::OtherRun) {
                    self.config.events.of(
                        EventKind::Refused(refusal),
                        &active.key.id,
                        &active.key.subject.name,
                    );
                }
                Admission::Refuse(refusal)
            }
        }
    }

    /// What a verified access token is worth alone, as far as is known here.
    pub(super) fn worth(&self, active: &Active<C>, now: Reading) -> Worth {
        let facts = active.facts();
        let standing = self.standing(active);
        let ended = match standing {
            Standing::Good | Standing::Stale => None,
            Standing::Revoked => Some(Refusal::Denylisted),
            // Which run it is may not be known here yet: nobody has a refresh token to ask with.
            Standing::OtherRun => self.revocations.is_past(active.run).then_some(Refusal::OtherRun),
        };
        if let Some(refusal) = ended {
            return Worth::Nothing(refusal);
        }
        match assess(&self.config.policy, Some(&facts), Standing::Good, now.wall) {
            Assessment::Renew if now.wall >= facts.expires => Worth::Nothing(Refusal::Expired),
            Assessment::Renew => Worth::Nothing(Refusal::BadToken),
            Assessment::Admit | Assessment::AdmitOrRenew
                if standing != Standing::Good || !self.knows_revocations(now) || self.doubts(active, now) =>
            {
                Worth::Unknown
            }
            Assessment::Admit | Assessment::AdmitOrRenew => Worth::Good,
        }
    }

    /// What the store says of a session whose access token is good as far as that goes. If its claims
    /// have changed since, those of now are served: its client cannot be handed another token. What was
    /// found serves the token from then on, until there is a later change.
    pub(super) async fn look_up(&self, token: &Arc<Active<C>>) -> Result<Found<C>, RenewError> {
        let (active, key, now) = (token.newest(), &token.key, self.now());
        let asked_at = self.monotonic();
        let snapshot = self.ask_about("get", active.run, self.store.get(key)).await?;
        let mut record = Arc::new(known(snapshot, active.run)?);
        if record.family.revoked {
            return Err(self.refused_by_record(key, Refusal::Denylisted));
        }
        if !self.is_live(&record.family, now) {
            return Err(Refusal::Expired.into());
        }
        let marked = record.stale_since.is_some_and(|since| active.as_of.as_secs() <= since.as_secs());
        let found = if marked || self.standing(&active) == Standing::Stale {
            let claims = self.reload(key, &mut record).await?;
            let found = Arc::new(active.with(&record, claims, now));
            // Where it comes from would have to be judged again.
            if !self.config.origins.are_compared() {
                token.set_newer(found.clone());
            }
            found
        } else {
            active
        };
        // Or it has ended meanwhile.
        if self.revocations.is_revoked(&key.id) {
            return Err(Refusal::Denylisted.into());
        }
        if self.revocations.is_past(found.run) {
            return Err(Refusal::OtherRun.into());
        }
        token.vouch(asked_at);
        found.vouch(asked_at);
        Ok(Found { active: found, record })
    }
}

/// What the store said of a token's session.
pub(super) struct Found<C> {
    pub(super) active: Arc<Active<C>>,
    pub(super) record: Arc<SessionRecord>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(line));
        }
        match Bearer::of(&headers) {
            Bearer::Absent => "absent".to_owned(),
            Bearer::Token(token) => String::from_utf8_lossy(token).into_owned(),
            Bearer::Malformed => "malformed".to_owned(),
        }
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        for line in ["Bearer a.b-c_d~+/==", "bearer a.b-c_d~+/==", "BEARER   a.b-c_d~+/=="] {
            assert_eq!(read(&[line]), "a.b-c_d~+/==");
        }
    }

    #[test]
    fn other_schemes_are_not_ours() {
        for lines in [&[][..], &["Basic YTpi"], &["Bearers a"], &["Bearer-x a"], &["Basic a", "Digest b"]] {
            assert_eq!(read(lines), "absent", "{lines:?}");
        }
    }

    #[test]
    fn what_means_to_be_a_bearer_token_and_is_none_is_malformed() {
        for line in [
            "Bearer",
            "Bearer ",
            "Bearer\ta",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer,a",
        ] {
            assert_eq!(read(&[line]), "malformed", "{line:?}");
        }
        assert_eq!(read(&["Bearer a", "Bearer a"]), "malformed");
        assert_eq!(read(&["Basic a", "Bearer a"]), "malformed");
    }
}
