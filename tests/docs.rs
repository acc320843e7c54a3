//! The pages for people say what is so: what they name exists, where they say it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README.md and docs/*.md, by name.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain(["README.md".into()]).map(|path| (path.clone(), read(&path))).collect()
}

/// The rows of the table below a heading of docs/architecture.md, cell by cell.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let lines = page[start + 1..].lines().skip(1).skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let rows: Vec<Vec<String>> = rows
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "no table in {heading}");
    rows
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn is_path(name: &str) -> bool {
    ["src/", "backends/", "tests/"].iter().any(|folder| name.starts_with(folder))
}

#[test]
fn every_path_that_is_named_exists() {
    let mut count = 0;
    for (page, text) in pages() {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)));
        for path in words.map(|word| word.trim_end_matches('.')).filter(|word| is_path(word)) {
            assert!(root().join(path).exists(), "{}: there is no {path}", page.display());
            count += 1;
        }
    }
    assert!(count > 100, "only {count} paths: are they still found?");
}

#[test]
fn every_link_leads_somewhere() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            // The tests in a browser make the pictures.
            if link.starts_with("http") || link.starts_with('#') || link.starts_with("docs/images/") {
                continue;
            }
            let target = root().join(&page).with_file_name("").join(link.split('#').next().unwrap_or(link));
            assert!(target.exists(), "{}: the link {link} leads nowhere", page.display());
        }
    }
}

#[test]
fn every_responsibility_is_where_it_is_said_to_be() {
    for row in table(&read("docs/architecture.md"), "Who does what") {
        let (full, file) = (code(&row[1])[0], code(&row[2])[0]);
        let name = full.rsplit("::").next().unwrap_or(full);
        let text = read(file);
        let is_defined = ["fn", "struct", "enum", "trait"]
            .iter()
            .any(|kind| ["(", "<", " ", ":"].iter().any(|end| text.contains(&format!("{kind} {name}{end}"))))
            || text.contains(&format!("pub {name}: "));
        assert!(is_defined, "{full} is not defined in {file}");
        for owner in full.split("::").take(full.matches("::").count()) {
            assert!(text.contains(owner), "{file} does not mention {owner}, of {full}");
        }
    }
}

/// The tests in a cell, each with the file that is named behind it: `` `one`, `other` in `src/file.rs` ``.
fn tests_of(cell: &str) -> Vec<(&str, &str)> {
    let (mut found, mut waiting) = (Vec::new(), Vec::new());
    for name in code(cell) {
        if is_path(name) {
            found.extend(waiting.drain(..).map(|test| (test, name)));
        } else {
            waiting.push(name);
        }
    }
    assert!(waiting.is_empty(), "no file is named for {waiting:?}");
    found
}

/// Each row names a test for what it says, and the file that has it.
fn assert_tests_are_there(rows: &[Vec<String>]) {
    for row in rows {
        let tests = tests_of(row.last().unwrap());
        assert!(!tests.is_empty(), "no test shows this: {row:?}");
        for (test, file) in tests {
            let text = read(file);
            // A function, or a scenario in the list of the suite.
            let is_there = text.contains(&format!("fn {test}(")) || text.contains(&format!("  {test}\n"));
            assert!(is_there, "{file} has no test {test}");
        }
    }
}

#[test]
fn every_test_that_is_said_to_prove_an_invariant_is_there() {
    let rows = table(&read("docs/architecture.md"), "Invariants");
    assert!(rows.len() > 20, "only {} rows: are they still found?", rows.len());
    assert_tests_are_there(&rows);
}

#[test]
fn whatever_the_page_on_security_says_is_shown_by_a_test_that_is_there() {
    let page = read("docs/security.md");
    for heading in ["What is refused", "What one browser or script may cost"] {
        assert_tests_are_there(&table(&page, heading));
    }
}

#[test]
fn the_files_with_unsafe_code_are_those_that_the_page_names() {
    let rows = table(&read("docs/architecture.md"), "Unsafe code");
    let named: BTreeSet<_> = rows.iter().flat_map(|row| code(&row[0])).map(PathBuf::from).collect();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    // Code comes after the word; comments and attributes have it otherwise.
    let has_unsafe = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        lines
            .flat_map(|line| line.split("unsafe ").skip(1).map(str::to_owned).collect::<Vec<_>>())
            .any(|rest| ["{", "fn", "impl", "extern", "trait"].iter().any(|word| rest.starts_with(word)))
    };
    let is_test =
        |file: &Path| file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    let found: BTreeSet<_> = files
        .into_iter()
        .map(|file| file.strip_prefix(root()).unwrap().to_owned())
        .filter(|file| !is_test(file) && has_unsafe(&read(file)))
        .collect();
    assert_eq!(found, named);
}

/// The modules that `use crate::{a::X, b}` or `crate::a::X` name.
fn imports(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for after in source.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            found.insert(word(after));
            continue;
        };
        let (mut depth, mut at_name) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_name = true,
                c if at_name && c.is_alphabetic() => {
                    found.insert(word(&list[at..]));
                    at_name = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_layer_imports_only_what_the_table_allows() {
    let rows = table(&read("docs/architecture.md"), "Layers");
    let layers: Vec<&str> = rows.iter().map(|row| code(&row[0])[0]).collect();
    let lib = read("src/lib.rs");
    let modules = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    let modules: BTreeSet<&str> = modules.map(|module| module.trim_end_matches(';')).collect();
    assert_eq!(modules, layers.iter().copied().collect(), "the layers are the modules of src/lib.rs");

    for (at, row) in rows.iter().enumerate() {
        let (layer, allowed) = (layers[at], code(&row[1]));
        for lower in &allowed {
            assert!(layers[at + 1..].contains(lower), "{layer} imports {lower}, which stands above it");
        }
        let mut files = vec![root().join(format!("src/{layer}.rs"))];
        if !files[0].is_file() {
            files.clear();
            sources(&root().join("src").join(layer), &mut files);
        }
        for file in files {
            for import in imports(&read(&file)) {
                assert!(
                    import == layer || allowed.contains(&import.as_str()),
                    "{} imports {import}; docs/architecture.md does not let {layer} do that",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn imports_are_found_in_lists_and_in_paths() {
    let source = "use crate::{\n    a::{b, c::D},\n    e,\n};\nfn f() { crate::g::h() }";
    assert_eq!(imports(source), ["a", "e", "g"].map(String::from).into());
}
