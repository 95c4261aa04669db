//! `docs/compatibility.md` is a promise too: each of the 231 cases once, and every test it names exists.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Rows of the table: number of the case, and what the last column says.
fn rows() -> Vec<(usize, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let document = fs::read_to_string(path).unwrap();
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.parse().ok()?, cells.nth(1)?.to_owned()))
    });
    rows.collect()
}

/// Functions of each test file, by the file's name.
fn functions() -> BTreeMap<String, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let entries = [tests.clone(), tests.join("suite")].map(|directory| fs::read_dir(directory).unwrap());
    let files = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_case_is_listed_once() {
    let numbers: Vec<usize> = rows().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=231).collect::<Vec<_>>());
}

#[test]
fn every_test_that_is_named_exists() {
    let functions = functions();
    for (number, cell) in rows() {
        assert!(!cell.is_empty(), "case {number} says nothing");
        for name in cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
            let (file, function) = name.split_once("::").unwrap();
            let source = functions.get(file).unwrap_or_else(|| panic!("case {number}: there is no {file}.rs in tests"));
            assert!(source.contains(&format!("fn {function}()")), "case {number}: {file}.rs has no {function}");
        }
    }
}
