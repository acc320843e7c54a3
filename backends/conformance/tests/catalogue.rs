//! The catalogue is complete, and says what is so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in the helpers too, not only in test functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const PAGE: &str = include_str!("../src/catalogue.md");

/// Letter and number of rows.
const ROWS: [(&str, usize); 12] = [
    ("E", 20),
    ("S", 21),
    ("R", 6),
    ("D", 7),
    ("L", 6),
    ("P", 8),
    ("F", 13),
    ("N", 11),
    ("X", 3),
    ("I", 6),
    ("W", 20),
    ("A", 5),
];

fn rows() -> Vec<Vec<&'static str>> {
    PAGE.lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("| id") && !line.starts_with("|--"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// Names of all functions in the Rust files below a place.
fn functions(below: &Path, names: &mut BTreeSet<String>) {
    let entries = match fs::read_dir(below) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![below.to_owned()],
    };
    for entry in entries {
        if entry.is_dir() {
            functions(&entry, names);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&entry).unwrap();
            names.extend(
                text.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())),
            );
        }
    }
}

#[test]
fn every_row_is_there_once_and_says_how_it_is_tried_or_why_not() {
    let expected: Vec<String> =
        ROWS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}"))).collect();
    let rows = rows();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), expected);
    assert_eq!(rows.len(), 126);
    for row in rows {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(!row[1].is_empty() && !row[2].is_empty(), "{row:?}");
    }
}

#[test]
fn every_test_that_is_named_exists_where_it_is_said_to_be() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut known = BTreeMap::new();
    let mut count = 0;
    for row in rows() {
        let tests = row[2].split('`').skip(1).step_by(2);
        for (place, name) in tests.map(|test| test.split_once("::").unwrap_or_else(|| panic!("{row:?}"))) {
            let dirs: &[&str] = match place {
                "suite" => &["backends/conformance/src/scenarios"],
                "disk" => &["backends/disk"],
                "kernel" => &["backends/conformance/src/kernel.rs"],
                "inotify" => &["backends/inotify"],
                "polling" => &["backends/polling"],
                "watchman" => &["backends/watchman"],
                "watch" => &["src/watch"],
                "server" => &["tests", "src"],
                other => panic!("{row:?}: what is {other}?"),
            };
            let names = known.entry(place).or_insert_with(|| {
                let mut names = BTreeSet::new();
                dirs.iter().for_each(|dir| functions(&top.join(dir), &mut names));
                names
            });
            assert!(names.contains(name), "{}: there is no {place}::{name}", row[0]);
            count += 1;
        }
    }
    assert!(count > 150, "only {count} tests: are they still found?");
}

#[test]
fn every_scenario_that_is_named_after_a_row_is_in_that_row() {
    let mut scenarios = BTreeSet::new();
    functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scenarios"), &mut scenarios);
    for scenario in scenarios {
        for part in scenario.split('_') {
            let Some(row) = rows().into_iter().find(|row| row[0].eq_ignore_ascii_case(part)) else { break };
            assert!(row[2].contains(&format!("`suite::{scenario}`")), "{scenario} is missing in {}", row[0]);
        }
    }
}
