//! The structure of the source: which module may import which, and the length of files.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lower floors first. A module imports only from floors below its own.
const FLOORS: [&[&str]; 15] = [
    &["per_thread", "time", "timer"],
    &["id"],
    &["protocol"],
    &["bearer", "cookie", "cookie_jar", "cross_site", "http_client", "rejection", "request", "token"],
    &["store"],
    &["claims", "device_binding", "key_file", "origin"],
    &["event"],
    &["backend"],
    &["revocation"],
    &["engine"],
    &["session"],
    &["middleware"],
    &["sessions"],
    &["device_bound", "extract", "form_post", "jwks", "oauth", "oidc", "signals", "vault", "verify"],
    &["routes"],
];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&entry).expect("a text");
                found.push((entry, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The top-level module that a file of `src` belongs to.
fn module(path: &Path) -> String {
    let inner = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("a file of src");
    let first = inner.components().next().expect("a name").as_os_str().to_str().expect("UTF-8");
    first.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("the module {module} has no floor: give it one in this test"))
}

/// The modules that a file imports as `crate::…`, in one path or in a braced list.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let name = |text: &str| {
            text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
        };
        let Some(list) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (index, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && c.is_ascii_alphabetic() => {
                    found.push(name(&list[index..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn every_file_imports_only_from_floors_below_its_own() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let own = module(&path);
        if ["lib", "guide", "manual"].contains(&&*own) {
            continue;
        }
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        // Items that the root re-exports start with a capital, and exported macros stand there too.
        let is_module = |name: &String| name.starts_with(char::is_lowercase) && name != "store_conformance";
        for import in imports(&code).into_iter().filter(is_module) {
            if import != own && floor(&import) >= floor(&own) {
                wrong.push(format!("{}: {own} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_400_lines() {
    for folder in ["src", "tests", "examples"] {
        for (path, text) in sources(folder) {
            assert!(text.lines().count() <= 400, "{} has {} lines", path.display(), text.lines().count());
        }
    }
}

#[test]
fn only_one_file_reads_the_system_clock() {
    for (path, text) in sources("src") {
        let names =
            |word: &str| text.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
        let asks = names("SystemTime::now") || names("Instant::now");
        assert!(!asks || path.ends_with("src/time.rs"), "{}", path.display());
    }
}

/// The folders of `src` whose files must not import each other in a circle.
const WITHOUT_CIRCLES: [&str; 12] = [
    "backend",
    "cookie",
    "device_binding",
    "event",
    "sessions",
    "sessions/builder",
    "store/memcached",
    "store/memory",
    "store/redis",
    "store/sqlite",
    "token",
    "vault",
];

/// The files of the same folder that a file imports. `super::Item` is in `mod.rs`, which imports what it
/// re-exports.
fn siblings(file: &str, text: &str, files: &[String]) -> Vec<String> {
    let (code, _tests) = text.split_once("#[cfg(test)]\nmod tests").unwrap_or((text, ""));
    let own = if file == "mod" { "self::" } else { "super::" };
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.replace("crate::", "").replace(own, "crate::") + "\n")
        .collect();
    let file_of = |name: String| if files.contains(&name) { name } else { "mod".to_owned() };
    imports(&code).into_iter().map(file_of).filter(|import| import != file).collect()
}

/// The files of a folder and what they import of each other, without the files that are in no circle.
fn circle(folder: &str, with_mod: bool) -> Vec<(String, Vec<String>)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut texts = sources(folder);
    texts.retain(|(path, _)| path.parent() == Some(&*home));
    let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let files: Vec<String> = texts.iter().map(|(path, _)| stem(path)).collect();
    let mut left: Vec<(String, Vec<String>)> =
        texts.iter().map(|(path, text)| (stem(path), siblings(&stem(path), text, &files))).collect();
    left.retain(|(file, _)| with_mod || file != "mod");
    // A file that imports none of the remaining files is in no circle.
    let is_left = |file: &String, left: &[(String, _)]| left.iter().any(|(other, _)| other == file);
    while let Some(at) = left.iter().position(|(_, imports)| !imports.iter().any(|file| is_left(file, &left)))
    {
        left.remove(at);
    }
    left
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    for folder in WITHOUT_CIRCLES {
        let left = circle(&format!("src/{folder}"), true);
        assert!(left.is_empty(), "a circle in src/{folder}: {left:#?}");
    }
}

/// In every other folder, files may import from their `mod.rs`.
#[test]
fn no_files_but_mod_rs_are_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> =
        sources("src").into_iter().filter_map(|(path, _)| path.parent().map(Path::to_owned)).collect();
    folders.sort();
    folders.dedup();
    assert!(folders.len() > 20, "{folders:?}");
    for folder in folders {
        let folder = folder.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        let left = circle(&folder, false);
        assert!(left.is_empty(), "a circle in {folder}: {left:#?}");
    }
}
