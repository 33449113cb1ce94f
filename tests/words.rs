//! Plain words: terms that this project does not use, in its documentation, source, examples and tests.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each term, and what to write in its place. A term of several words is also found across lines, and in
/// names such as `nobody_waits` or `NobodyWaits`.
const TERMS: [(&str, &str); 32] = [
    ("thief", "attacker"),
    ("thieves", "attackers"),
    ("theft", "refresh token reuse"),
    ("stolen", "copied"),
    ("honest", "legitimate client"),
    ("incarnation", "run ID"),
    ("whoever", "the client, caller, application or operator"),
    ("whatever", "every, any, or the things themselves"),
    ("nobody", "no client, or anonymous"),
    ("nobodys", "anonymous"),
    ("somebody", "a client, another user, or an attacker"),
    ("anybody", "any client"),
    ("everybody", "every client, or all users"),
    ("one's own", "your own"),
    ("to be had", "available"),
    ("of no use", "invalid, or cannot be used"),
    ("of use no longer", "no longer valid"),
    ("but for", "except for"),
    ("by itself alone", "by itself"),
    ("at hand", "current, or available"),
    ("had better", "must"),
    ("is away", "is unavailable"),
    ("are away", "are unavailable"),
    ("was away", "was unavailable"),
    ("goes away", "becomes unavailable"),
    ("stays away", "is unavailable"),
    ("patience", "timeout or deadline"),
    ("hears nothing", "gets no response"),
    ("token of either kind", "access or refresh token"),
    ("list of ends", "denylist"),
    ("who may send requests", "cross-site request forgery (CSRF) protection"),
    ("look at the application", "claims reload hook"),
];

/// Lines with one of these are not checked: an alias for the search of the documentation, a user of the
/// operating system, test data, and the demo's page, whose text is in the README's pictures.
const ALLOWED: [&str; 9] = [
    "#[doc(alias = \"token theft\")]",
    "\"-u\", \"nobody\"",
    "user=(-u nobody)",
    "owner=nobody",
    "\"role\":\"nobody\"",
    "renews the cookies on whatever request",
    "whatever its browser still holds",
    "not because anybody was",
    "<p>Everybody has to sign in again",
];

/// What is checked. A folder that the published crate leaves out may be missing.
const CHECKED: [&str; 9] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    ".github",
    "src",
    "tests",
    "examples",
    "benches",
    "fuzz",
];

const TEXTS: [&str; 11] = ["rs", "md", "html", "sql", "lua", "py", "sh", "toml", "yml", "yaml", "run"];

/// The texts below a path, without build folders. A file without an extension is a script or a licence.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        if path.ends_with("target") {
            return Vec::new();
        }
        let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        return entries.flat_map(|path| files(&path)).collect();
    }
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_text = match extension {
        Some(extension) => TEXTS.contains(&extension),
        None => path.components().any(|part| part.as_os_str() == "tests") && !name.starts_with("LICENSE"),
    };
    if path.is_file() && is_text && name != "words.rs" { vec![path.to_owned()] } else { Vec::new() }
}

/// The words of a text in lower case, each with the number of its line. A name such as `nobody_waits` or
/// `NobodyWaits` is two words.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if ALLOWED.iter().any(|allowed| line.contains(allowed)) {
            continue;
        }
        let (mut word, mut after_lower) = (String::new(), false);
        for c in line.chars().chain([' ']) {
            if !word.is_empty() && (!c.is_alphabetic() || c.is_uppercase() && after_lower) {
                words.push((number + 1, std::mem::take(&mut word)));
            }
            if c.is_alphabetic() {
                word.extend(c.to_lowercase());
            }
            after_lower = c.is_lowercase();
        }
    }
    words
}

/// The lines of a text with a term.
fn found(text: &str) -> Vec<String> {
    let text = words(text);
    let mut found = Vec::new();
    for (term, instead) in &TERMS {
        let term_words = words(term);
        for window in text.windows(term_words.len()) {
            if window.iter().zip(&term_words).all(|((_, word), (_, expected))| word == expected) {
                found.push(format!("{}: {term:?}: write {instead:?}", window[0].0));
            }
        }
    }
    found
}

#[test]
fn no_text_has_a_term_that_this_project_does_not_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for path in CHECKED.iter().flat_map(|path| files(&root.join(path))) {
        let text = fs::read_to_string(&path).expect("a text");
        all.extend(found(&text).into_iter().map(|line| format!("{}:{line}", path.display())));
    }
    assert!(all.is_empty(), "{} lines:\n{}", all.len(), all.join("\n"));
}

#[test]
fn terms_are_found_in_names_and_across_lines() {
    for text in [
        "fn nobody_waits_for_a_confirmation()",
        "is_nobodys",
        "struct NobodyWaits;",
        "// The store\n// is\n// away.",
        "while_the_store_is_away",
        "Nobody's",
        "one's own",
    ] {
        assert_eq!(found(text).len(), 1, "{text}");
    }
    for text in ["nobodyelse", "isaway", "is a way", "attribute for", "\"-u\", \"nobody\""] {
        assert!(found(text).is_empty(), "{text}");
    }
}

/// What people search the documentation for.
const SEARCHED: [&str; 36] = [
    "logout",
    "login",
    "csrf",
    "xsrf",
    "blacklist",
    "denylist",
    "refresh token",
    "rotation",
    "reuse",
    "replay",
    "session fixation",
    "remember me",
    "middleware",
    "role",
    "sso",
    "oidc",
    "jwks",
    "step-up",
    "mfa",
    "sudo",
    "impersonate",
    "idle timeout",
    "expiry",
    "sliding",
    "password changes",
    "invalidate a token",
    "blacklist of token IDs",
    "plain session",
    "what is in the token",
    "payload changes",
    "localStorage",
    "provider token",
    "single sign on",
    "single point of failure",
    "graceful shutdown",
    "axum-login",
];

#[test]
fn a_search_of_the_documentation_finds_each_of_these() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source: String =
        files(&root.join("src")).iter().map(|path| fs::read_to_string(path).expect("a text")).collect();
    let is_missing = |term: &&str| !source.contains(&format!("#[doc(alias = \"{term}\")]"));
    let missing: Vec<_> = SEARCHED.into_iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
