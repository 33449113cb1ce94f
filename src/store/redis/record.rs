//! The form of a session record in Redis: a line of numbers, which the scripts read, a line of JSON, and the claims.
//! The record of a revoked session has only the line of numbers.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    id::{RunId, SessionId},
    protocol::{Family, RotationTiming},
    store::{Attached, Reauthentication, SessionRecord, StoreError},
    time::{Timestamp, millis},
};

/// The largest number that the scripts can use. Numbers in Lua are doubles, which are exact up to 2^53.
const EXACT: u64 = 1 << 53;

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the number {0} is beyond 2^53")]
    TooLarge(u64),
    #[error("not a record, or one of another version of this crate")]
    Malformed,
}

/// The line of JSON: the fields that the scripts do not read, without the claims.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Rest<'a> {
    #[serde(rename = "a", skip_serializing_if = "Attached::is_empty")]
    attached: Attached,
    #[serde(rename = "m", skip_serializing_if = "is_empty")]
    methods: Cow<'a, [String]>,
    #[serde(rename = "o", skip_serializing_if = "Option::is_none", borrow)]
    origin: Option<Cow<'a, str>>,
    #[serde(rename = "p", skip_serializing_if = "std::ops::Not::not")]
    persistent: bool,
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    proof: Option<Cow<'a, Reauthentication>>,
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    stale_since: Option<Timestamp>,
}

fn is_empty(methods: &[String]) -> bool {
    methods.is_empty()
}

/// A record that was read, with its run ID and its version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) run: RunId,
    pub(super) version: u64,
    pub(super) record: SessionRecord,
}

/// Checks that the scripts can compute with a number: the number is at most 2^53.
pub(super) fn number(number: u64) -> Result<u64, StoreError> {
    if number > EXACT {
        return Err(StoreError::corrupt(Unreadable::TooLarge(number)));
    }
    Ok(number)
}

/// A time in milliseconds, with which the scripts can compute.
pub(super) fn time(time: Timestamp) -> Result<u64, StoreError> {
    number(time.as_millis())
}

fn length(duration: Duration) -> Result<u64, StoreError> {
    number(millis(duration))
}

/// The text of a version, or of a nonce, which becomes a version. All texts have the same length.
pub(super) fn version(version: u64) -> String {
    format!("{version:016x}")
}

pub(super) fn session_id(text: &str) -> Result<SessionId, StoreError> {
    SessionId::decode(text).ok_or_else(|| StoreError::corrupt("not a session ID"))
}

pub(super) fn run_id(text: &str) -> Result<RunId, StoreError> {
    RunId::decode(text).ok_or_else(|| StoreError::corrupt("not a run ID"))
}

/// The text of a record without run ID and version. The scripts write these before the text.
pub(super) fn encode(record: &SessionRecord) -> Result<String, StoreError> {
    let (family, timing) = (&record.family, &record.family.timing);
    let confirmed = family.confirmed_at.map(time).transpose()?;
    let rest = Rest {
        attached: record.attached.clone(),
        methods: Cow::Borrowed(&record.methods),
        origin: record.origin.as_deref().map(Cow::Borrowed),
        persistent: record.persistent,
        proof: record.reauthentication.as_ref().map(Cow::Borrowed),
        stale_since: record.stale_since,
    };
    Ok(format!(
        "{} {} {} {} {} {} {} {} {} {} {} {}\n{}\n{}",
        number(family.generation)?,
        confirmed.map_or("-".into(), |at| at.to_string()),
        time(family.handed_out_at)?,
        length(family.idle_timeout)?,
        time(family.idle_deadline)?,
        time(family.absolute_deadline)?,
        time(family.created_at)?,
        length(timing.rotation_interval)?,
        length(timing.grace)?,
        length(timing.write_window)?,
        length(timing.crash_window)?,
        length(timing.late_body)?,
        serde_json::to_string(&rest).map_err(StoreError::corrupt)?,
        record.claims,
    ))
}

/// Reads the record of the session `id` from the text that the server keeps for this session.
pub(super) fn decode(id: SessionId, text: &[u8]) -> Result<Stored, StoreError> {
    let malformed = || StoreError::corrupt(Unreadable::Malformed);
    let text = str::from_utf8(text).map_err(StoreError::corrupt)?;
    let (numbers, rest) = match text.split_once('\n') {
        Some((numbers, rest)) => (numbers, Some(rest.split_once('\n').ok_or_else(malformed)?)),
        None => (text, None),
    };
    let (run, version, family) = decode_numbers(numbers).ok_or_else(malformed)?;
    let family = Family { revoked: rest.is_none(), ..family };
    let (rest, claims) = rest.unwrap_or(("{}", "null"));
    let rest: Rest<'_> = serde_json::from_str(rest).map_err(StoreError::corrupt)?;
    let record = SessionRecord {
        id,
        family,
        claims: claims.into(),
        stale_since: rest.stale_since,
        methods: rest.methods.into_owned(),
        reauthentication: rest.proof.map(Cow::into_owned),
        origin: rest.origin.map(Arc::from),
        persistent: rest.persistent,
        attached: rest.attached,
    };
    Ok(Stored { run, version, record })
}

fn decode_numbers(line: &str) -> Option<(RunId, u64, Family)> {
    let mut words = line.split(' ');
    if words.next()? != "2" {
        return None;
    }
    let run = RunId::decode(words.next()?)?;
    let version = u64::from_str_radix(words.next()?, 16).ok()?;
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
        handed_out_at: Timestamp::from_millis(next()??),
        idle_timeout: Duration::from_millis(next()??),
        idle_deadline: Timestamp::from_millis(next()??),
        absolute_deadline: Timestamp::from_millis(next()??),
        created_at: Timestamp::from_millis(next()??),
        timing: RotationTiming {
            rotation_interval: Duration::from_millis(next()??),
            grace: Duration::from_millis(next()??),
            write_window: Duration::from_millis(next()??),
            crash_window: Duration::from_millis(next()??),
            late_body: Duration::from_millis(next()??),
        },
        revoked: false,
    };
    words.next().is_none().then_some((run, version, family))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SessionRecord {
        let family = Family {
            confirmed_at: None,
            generation: 7,
            ..Family::begin(Timestamp::from_secs(100), Duration::from_secs(60), Duration::from_secs(600))
        };
        SessionRecord {
            id: SessionId::from_bytes([7; 32]),
            family,
            claims: "{\n\"a\": 1\n}".into(),
            stale_since: Some(Timestamp::from_secs(101)),
            methods: vec!["a\nb".into()],
            reauthentication: Some(Reauthentication {
                at: Timestamp::from_secs(102),
                methods: vec!["\n".into()],
                origin: Some("\n".into()),
            }),
            origin: Some("a \"b\"\n\\".into()),
            persistent: true,
            attached: {
                let mut attached = Attached::default();
                attached.set("test", Some(b"\n\0"));
                attached
            },
        }
    }

    /// The text of a record, as a script writes it.
    fn text(record: &SessionRecord) -> String {
        format!("2 00000000000000ab {} {}", version(0xcd), encode(record).expect("it can be kept"))
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let (record, run) = (record(), RunId::from_u64(0xab).expect("not zero"));
        let stored = decode(record.id, text(&record).as_bytes()).expect("it can be read");
        assert_eq!(stored, Stored { run, version: 0xcd, record });
    }

    #[test]
    fn the_first_line_alone_is_a_revoked_session() {
        let record = record();
        let text = text(&record);
        let line = text.lines().next().expect("a line");
        let revoked = decode(record.id, line.as_bytes()).expect("it can be read").record;
        assert_eq!(revoked.family, Family { revoked: true, ..record.family });
        assert_eq!((&*revoked.claims, revoked.origin, revoked.methods.len()), ("null", None, 0));
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        let mut record = record();
        let text = text(&record);
        for bad in
            ["", "2", "\n\n\n", &text.replacen('2', "1", 1), &text.replacen(" 7 ", " 9007199254740993 ", 1)]
        {
            assert!(matches!(decode(record.id, bad.as_bytes()), Err(StoreError::Corrupt(_))), "{bad:?}");
        }
        record.family.generation = EXACT + 1;
        assert!(matches!(encode(&record), Err(StoreError::Corrupt(_))));
    }
}
