//! Plain words: terms that this project does not use, in its documentation, source, examples and tests.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Each term, and what to write in its place. A term of several words is also found across lines, and in
/// names such as `nobody_waits` or `NobodyWaits`.
const TERMS: [(&str, &str); 46] = [
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
    ("nobody knows", "it is unknown"),
    ("seen in use", "confirmed"),
    ("flight", "single flight, or in flight"),
    ("flights", "in-flight renewals"),
    ("boarding", "joining a renewal"),
    ("landing", "the response, or the outcome"),
    ("landed", "arrived"),
    ("older run", "older run ID"),
    ("absolute limit", "absolute timeout"),
    ("absolute limits", "absolute timeouts"),
    ("session was ended", "session was revoked"),
    ("sessions were ended", "sessions were revoked"),
    ("proved recently", "re-authenticated recently"),
    ("proof again", "re-authentication"),
];

/// Where a term is meant. "Gate" (of a test's store) and "people" are not in the list: here they are no metaphors.
const MEANT: [(&str, &str); 4] = [
    ("flight", "in flight"),
    ("flight", "single flight"),
    ("older run", "older run id"),
    ("older run", "older run ids"),
];

/// Lines with one of these are not checked: an alias for the search of the documentation, a user of the
/// operating system, test data, and the demo's page, whose text is in the README's pictures.
const ALLOWED: [&str; 10] = [
    "#[doc(alias = \"cookie theft\")]",
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
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, (_, word)) in text.iter().enumerate() {
        places.entry(word).or_default().push(at);
    }
    let mut found = Vec::new();
    for (term, instead) in &TERMS {
        let term_words = words(term);
        let is_at = |at: usize, phrase: &[(usize, String)]| {
            let window = text.get(at..at + phrase.len());
            window
                .is_some_and(|window| window.iter().zip(phrase).all(|((_, word), (_, other))| word == other))
        };
        let phrases: Vec<_> =
            MEANT.iter().filter(|(of, _)| of == term).map(|(_, phrase)| words(phrase)).collect();
        let is_meant = |at: usize| {
            phrases.iter().any(|phrase| (0..phrase.len()).any(|by| by <= at && is_at(at - by, phrase)))
        };
        let starts = places.get(&*term_words[0].1).into_iter().flatten().copied();
        for at in starts.filter(|at| is_at(*at, &term_words) && !is_meant(*at)) {
            found.push(format!("{}: {term:?}: write {instead:?}", text[at].0));
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
        "an older run",
        "the flight",
    ] {
        assert_eq!(found(text).len(), 1, "{text}");
    }
    for text in [
        "nobodyelse",
        "isaway",
        "is a way",
        "attribute for",
        "an older run ID",
        "older_run_ids",
        "in flight",
        "\"-u\", \"nobody\"",
    ] {
        assert!(found(text).is_empty(), "{text}");
    }
}

/// What users search the documentation for, and one of the items that they must find.
const SEARCHED: [(&str, &str); 40] = [
    ("logout", "fn sign_out"),
    ("login", "fn sign_in"),
    ("csrf", "fn trusted_origin"),
    ("xsrf", "fn trusted_origin"),
    ("blacklist", "fn revoke"),
    ("denylist", "fn revoke"),
    ("refresh token", "mod protocol"),
    ("rotation", "mod protocol"),
    ("reuse", "ReuseDetected"),
    ("replay", "ReuseDetected"),
    ("token theft", "ReuseDetected"),
    ("session fixation", "fn sign_in"),
    ("remember me", "fn remember_me"),
    ("middleware", "struct SessionLayer"),
    ("role", "fn claims"),
    ("sso", "mod single_sign_on"),
    ("oidc", "mod single_sign_on"),
    ("jwks", "mod verifying_services"),
    ("step-up", "fn authenticated_within"),
    ("mfa", "fn method"),
    ("sudo", "fn authenticated_within"),
    ("impersonate", "mod questions"),
    ("idle timeout", "fn timing"),
    ("expiry", "fn timing"),
    ("sliding", "struct SessionLayer"),
    ("DBSC", "fn device_bound"),
    ("token binding", "fn device_bound"),
    ("cookie theft", "fn device_bound"),
    ("password changes", "mod questions"),
    ("invalidate a token", "mod questions"),
    ("blacklist of token IDs", "mod questions"),
    ("plain session", "mod questions"),
    ("what is in the token", "mod questions"),
    ("payload changes", "mod questions"),
    ("localStorage", ""),
    ("provider token", "mod questions"),
    ("single sign on", "mod single_sign_on"),
    ("single point of failure", "mod questions"),
    ("graceful shutdown", ""),
    ("axum-login", "mod questions"),
];

/// The first line of each item with this alias.
fn items<'s>(source: &'s str, term: &str) -> Vec<&'s str> {
    let alias = format!("#[doc(alias = \"{term}\")]");
    let is_item = |line: &&str| !line.starts_with(['#', '/', ']', ')']) && !line.is_empty();
    let after = |at: usize| source[at..].lines().map(str::trim).find(is_item);
    source.match_indices(&alias).filter_map(|(at, _)| after(at)).collect()
}

#[test]
fn a_search_of_the_documentation_finds_the_right_item() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source: String =
        files(&root.join("src")).iter().map(|path| fs::read_to_string(path).expect("a text")).collect();
    for (term, item) in SEARCHED {
        let found = items(&source, term);
        assert!(found.iter().any(|line| line.contains(item)), "{term:?} finds {found:?}, not {item:?}");
    }
}
