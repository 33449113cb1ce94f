//! Plain words: terms that this project does not use, in its documentation, source, examples and tests.

#![expect(clippy::expect_used, reason = "a failed test is a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The term, and what to write instead.
const EVERYWHERE: [(&str, &str); 6] = [
    ("thief", "attacker"),
    ("thieves", "attackers"),
    ("theft", "refresh token reuse"),
    ("stolen", "copied"),
    ("honest", "legitimate client"),
    ("incarnation", "run ID"),
];

/// What readers of the documentation and of the source must not meet.
const IN_SOURCE: [(&str, &str); 10] = [
    ("whoever", "the client, caller, application or operator"),
    ("nobody", "the same"),
    ("somebody", "the same"),
    ("anybody", "the same"),
    ("one's own", "your own"),
    ("to be had", "available"),
    ("of no use", "invalid, or cannot be used"),
    ("is away", "is unavailable"),
    ("was away", "was unavailable"),
    ("patience", "timeout"),
];

/// Two aliases for the search of the documentation, and data of a test.
const ALLOWED: [&str; 3] = ["#[doc(alias = \"token theft\")]", "\"role\":\"nobody\"", "let nobody"];

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        return entries.flat_map(|path| files(&path)).collect();
    }
    let is_text =
        path.extension().is_some_and(|it| ["rs", "md", "html", "sql", "lua"].iter().any(|text| it == *text));
    if is_text && !path.ends_with("words.rs") { vec![path.to_owned()] } else { Vec::new() }
}

/// Each line below one of these paths that has a term.
fn found(paths: &[&str], terms: &[(&str, &str)]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in paths.iter().flat_map(|path| files(&root.join(path))) {
        let text = fs::read_to_string(&path).expect("a text");
        for (number, line) in text.lines().enumerate() {
            if ALLOWED.iter().any(|allowed| line.contains(allowed)) {
                continue;
            }
            let lower = line.to_lowercase();
            let is_word = |term: &str| {
                lower.match_indices(term).any(|(at, _)| {
                    let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
                    !letter(lower[..at].chars().next_back())
                        && !letter(lower[at + term.len()..].chars().next())
                })
            };
            for (term, instead) in terms.iter().filter(|(term, _)| is_word(term)) {
                found.push(format!("{}:{}: {term:?}: write {instead:?}", path.display(), number + 1));
            }
        }
    }
    found
}

#[test]
fn no_text_has_a_term_that_this_project_does_not_use() {
    let everywhere =
        found(&["README.md", "CHANGELOG.md", "benches/README.md", "src", "examples", "tests"], &EVERYWHERE);
    let in_source = found(&["README.md", "CHANGELOG.md", "benches/README.md", "src"], &IN_SOURCE);
    let all = [everywhere, in_source].concat();
    assert!(all.is_empty(), "{} lines:\n{}", all.len(), all.join("\n"));
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
