//! What the guide and the manual say about names and places exists.

#![expect(clippy::expect_used, reason = "in a test, that is how things fail")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = fs::read_to_string(&path).expect("a text");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn pages() -> Vec<(PathBuf, String)> {
    [files("src/guide", "md"), files("src/manual", "md")].concat()
}

/// What follows `start` in the text, up to `end`, each time.
fn between<'t>(text: &'t str, start: &'t str, end: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(start).skip(1).filter_map(move |rest| Some(rest.split_once(end)?.0))
}

#[test]
fn log_lines_of_the_guide_have_events_and_outcomes_that_exist() {
    let source: String = files("src", "rs").into_iter().map(|(_, text)| text).collect();
    let mut wrong = Vec::new();
    for (path, text) in files("src/guide", "md") {
        let names = between(&text, " event=\"", "\"").chain(between(&text, " outcome=\"", "\""));
        let unknown = names.filter(|name| !source.contains(&format!("\"{name}\"")));
        wrong.extend(unknown.map(|name| format!("{}: {name}", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// As rustdoc makes it of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_to_a_section_of_a_page_lead_to_a_heading() {
    let pages = pages();
    let headings = |page: &str| -> Option<Vec<String>> {
        let found = pages.iter().find(|(path, _)| path.with_extension("").ends_with(page.replace("::", "/")));
        found.map(|(_, text)| text.lines().filter(|line| line.starts_with("# ")).map(anchor).collect())
    };
    let mut wrong = Vec::new();
    for (path, text) in &pages {
        for link in between(text, "](crate::", ")") {
            let Some((page, section)) = link.split_once('#') else { continue };
            // Other items are checked by rustdoc, without their sections.
            let Some(headings) = headings(page) else { continue };
            if !headings.iter().any(|heading| heading == section) {
                wrong.push(format!("{}: {page}#{section}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
