//! The text of an error, for operators: the error and each of its sources, without passwords.

use std::{
    any::Any,
    error::Error,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// The longest text of a cause, in bytes.
const LONGEST: usize = 1024;
/// The maximum number of errors in a chain that are read, because a chain of errors can be circular.
const DEEPEST: usize = 16;

/// The text of an error, such as `error: source: source of the source`, with at most 1 KB. A source is left out if the
/// text of the error before it already ends with the text of the source. Control characters become spaces, and
/// passwords in URLs become `***`.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> Arc<str> {
    let mut text = String::new();
    let mut last = String::new();
    let mut next = Some(error);
    for _ in 0..DEEPEST {
        let Some(error) = next else { break };
        let mut this = String::new();
        // If `Display` fails, keep the text that it has already written.
        let _partial = write!(this, "{error}");
        if !last.ends_with(&*this) {
            let separator = if text.is_empty() { "" } else { ": " };
            text.extend([separator, &this]);
        }
        last = this;
        next = error.source();
    }
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = without_passwords(&text);
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    text.into()
}

/// Replaces the user name and the password in each URL by `***`. Reason: errors of drivers and hooks name the URL that
/// they could not reach, with the password in it.
fn without_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.extend([before, "://"]);
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`' | '>' | ')');
        let authority = after.find(ends).unwrap_or(after.len());
        // A password that is not percent-encoded may contain each of these characters except white space.
        let word = after.find(char::is_whitespace).unwrap_or(after.len());
        let user_info = after.get(..word).and_then(|word| word.rfind('@'));
        rest = after;
        if let Some(at) = user_info.filter(|at| *at < authority || has_password(after, *at)) {
            clean.push_str("***");
            rest = after.get(at..).unwrap_or_default();
        }
    }
    clean.push_str(rest);
    clean
}

/// Whether the text before the `@` is `user:password`.
fn has_password(after: &str, at: usize) -> bool {
    let user_info = after.get(..at).unwrap_or_default();
    user_info.find(':').is_some_and(|colon| user_info.find('/').is_none_or(|slash| colon < slash))
}

/// A hook of the application panicked.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub(crate) struct HookPanic(String);

impl HookPanic {
    pub(crate) fn new(payload: &(dyn Any + Send)) -> Self {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied());
        Self(message.unwrap_or("a value that is no text").to_owned())
    }
}

/// Calls a hook of the application, and catches its panic.
pub(crate) fn caught<R>(hook: impl FnOnce() -> R) -> Result<R, HookPanic> {
    catch_unwind(AssertUnwindSafe(hook)).map_err(|payload| HookPanic::new(&*payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Chain {
        text: String,
        source: Option<Box<Self>>,
    }

    fn chain(texts: &[&str]) -> Chain {
        let (first, rest) = texts.split_first().expect("a text");
        let source = (!rest.is_empty()).then(|| Box::new(chain(rest)));
        Chain { text: (*first).to_owned(), source }
    }

    #[test]
    fn each_source_is_named_once() {
        assert_eq!(
            &*cause(&chain(&["unavailable", "query", "no such function"])),
            "unavailable: query: no such function"
        );
        assert_eq!(&*cause(&chain(&["query failed: refused", "refused"])), "query failed: refused");
        assert_eq!(&*cause(&chain(&["same", "same", "other"])), "same: other");
    }

    #[test]
    fn the_text_is_one_line_and_bounded() {
        assert_eq!(&*cause(&chain(&["a\nb\r\u{1b}[31m"])), "a b  [31m");
        assert_eq!(cause(&chain(&[&"é".repeat(5000)])).len(), LONGEST);
        assert!(cause(&chain(&["x"; 100])).len() < 100);
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        for (text, clean) in [
            ("postgres://app:hunter2@db/app refused", "postgres://***@db/app refused"),
            ("redis://:hunter2@cache:6379", "redis://***@cache:6379"),
            ("at https://u:hun@ter2@host/x, https://other/", "at https://***@host/x, https://other/"),
            ("postgres://app:hun/ter2@db/app", "postgres://***@db/app"),
            ("https://host/people/ann@example.com", "https://host/people/ann@example.com"),
            ("nothing of that kind", "nothing of that kind"),
        ] {
            assert_eq!(without_passwords(text), clean);
        }
    }

    #[test]
    fn a_panic_says_what_it_was() {
        assert_eq!(caught(|| 1).ok(), Some(1));
        let told = caught(|| assert_eq!(1, 2, "one is not two")).map_err(|panic| panic.to_string());
        assert!(told.is_err_and(|text| text.contains("one is not two")));
    }
}
