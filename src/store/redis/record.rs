//! A session record as Redis keeps it: a line of numbers, which the scripts change, and three lines
//! of JSON: what never changes, the later proof of sign-in, the claims.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    id::{RunId, SessionId},
    protocol::Family,
    store::{Proof, SessionRecord, StoreError},
    time::{Timestamp, millis},
};

/// The scripts count in doubles, which are exact up to here.
const EXACT: u64 = 1 << 53;

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the number {0} is beyond 2^53")]
    TooLarge(u64),
    #[error("not a record, or one of a later version of this crate")]
    Malformed,
}

/// What never changes.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Static<'a> {
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(rename = "o", skip_serializing_if = "Option::is_none", borrow)]
    origin: Option<Cow<'a, str>>,
    #[serde(rename = "p", skip_serializing_if = "std::ops::Not::not")]
    persistent: bool,
}

/// A number that the scripts can count with.
pub(super) fn number(number: u64) -> Result<u64, StoreError> {
    if number > EXACT {
        return Err(StoreError::corrupt(Unreadable::TooLarge(number)));
    }
    Ok(number)
}

/// A time that the scripts can count with.
pub(super) fn time(time: Timestamp) -> Result<u64, StoreError> {
    number(time.as_millis())
}

fn maybe(at: Option<Timestamp>) -> Result<String, StoreError> {
    at.map_or(Ok("-".into()), |at| time(at).map(|at| at.to_string()))
}

/// A later proof of sign-in, on one line.
pub(super) fn encode_proof(proof: &Proof) -> Result<String, StoreError> {
    serde_json::to_string(proof).map_err(StoreError::corrupt)
}

pub(super) fn encode(run: RunId, record: &SessionRecord) -> Result<String, StoreError> {
    let family = &record.family;
    let fixed = Static {
        methods: record.methods.clone(),
        origin: record.origin.as_deref().map(Cow::Borrowed),
        persistent: record.persistent,
    };
    let fixed = serde_json::to_string(&fixed).map_err(StoreError::corrupt)?;
    let proof = record.proof.as_ref().map(encode_proof).transpose()?.unwrap_or_default();
    Ok(format!(
        "1 {run} {} {} {} {} {} {} {} {}\n{fixed}\n{proof}\n{}",
        number(family.generation)?,
        maybe(family.confirmed_at)?,
        time(family.created_at)?,
        number(millis(family.idle_timeout))?,
        time(family.idle_deadline)?,
        time(family.absolute_deadline)?,
        if family.revoked { maybe(Some(family.created_at))? } else { "-".into() },
        maybe(record.stale_since)?,
        record.claims,
    ))
}

/// The record in a text, and the run it was opened in.
pub(super) fn decode(id: SessionId, text: &[u8]) -> Result<(RunId, SessionRecord), StoreError> {
    let text = str::from_utf8(text).map_err(StoreError::corrupt)?;
    let mut lines = text.splitn(4, '\n');
    let [Some(numbers), Some(fixed), Some(proof), Some(claims)] = [(); 4].map(|()| lines.next()) else {
        return Err(StoreError::corrupt(Unreadable::Malformed));
    };
    let (run, family, stale_since) =
        decode_numbers(numbers).ok_or_else(|| StoreError::corrupt(Unreadable::Malformed))?;
    let fixed: Static<'_> = serde_json::from_str(fixed).map_err(StoreError::corrupt)?;
    let proof = if proof.is_empty() { None } else { Some(proof) };
    let record = SessionRecord {
        id,
        family,
        claims: Arc::from(claims),
        stale_since,
        methods: fixed.methods,
        proof: proof.map(serde_json::from_str).transpose().map_err(StoreError::corrupt)?,
        origin: fixed.origin.map(Arc::from),
        persistent: fixed.persistent,
    };
    Ok((run, record))
}

fn decode_numbers(line: &str) -> Option<(RunId, Family, Option<Timestamp>)> {
    let mut words = line.split(' ');
    if words.next()? != "1" {
        return None;
    }
    let run = words.next()?.parse().ok()?;
    let mut next = || {
        let word = words.next()?;
        if word == "-" {
            return Some(None);
        }
        word.parse().ok().filter(|number| *number <= EXACT).map(Some)
    };
    let family = Family {
        generation: next()??,
        confirmed_at: next()?.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(next()??),
        idle_timeout: Duration::from_millis(next()??),
        idle_deadline: Timestamp::from_millis(next()??),
        absolute_deadline: Timestamp::from_millis(next()??),
        revoked: next()?.is_some(),
    };
    let stale_since = next()?.map(Timestamp::from_millis);
    words.next().is_none().then_some((run, family, stale_since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> (RunId, SessionRecord) {
        let family = Family {
            confirmed_at: None,
            generation: 7,
            ..Family::begin(Timestamp::from_secs(100), Duration::from_secs(60), Duration::from_secs(600))
        };
        let record = SessionRecord {
            id: SessionId::from_bytes([7; 32]),
            family,
            claims: "{\n\"a\": 1\n}".into(),
            stale_since: Some(Timestamp::from_secs(101)),
            methods: vec!["a\nb".into()],
            proof: Some(Proof {
                at: Timestamp::from_secs(102),
                methods: vec!["\n".into()],
                origin: Some("\n".into()),
            }),
            origin: Some("a \"b\"\n\\".into()),
            persistent: true,
        };
        (RunId::from_u64(0xab).expect("not zero"), record)
    }

    #[test]
    fn records_come_back_as_they_were() {
        let (run, record) = record();
        let text = encode(run, &record).expect("it can be kept");
        assert_eq!(decode(record.id, text.as_bytes()).expect("it can be read"), (run, record));
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        let (run, mut record) = record();
        let text = encode(run, &record).expect("it can be kept");
        for bad in
            ["", "1", "\n\n\n", &text.replacen('1', "2", 1), &text.replacen(" 7 ", " 9007199254740993 ", 1)]
        {
            assert!(matches!(decode(record.id, bad.as_bytes()), Err(StoreError::Corrupt(_))), "{bad:?}");
        }
        record.family.generation = EXACT + 1;
        assert!(matches!(encode(run, &record), Err(StoreError::Corrupt(_))));
    }
}
