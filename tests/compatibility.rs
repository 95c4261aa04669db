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

/// Sources of the tests by module: a file's name, or its directory's.
fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::<String, String>::new();
    let mut ahead = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(directory) = ahead.pop() {
        for path in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                ahead.push(path);
                continue;
            }
            let named = if path.ends_with("mod.rs") { &directory } else { &path };
            let module = named.file_stem().unwrap().to_string_lossy().into_owned();
            sources.entry(module).or_default().push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    sources
}

#[test]
fn every_case_is_listed_once() {
    let numbers: Vec<usize> = rows().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=231).collect::<Vec<_>>());
}

#[test]
fn every_test_that_is_named_exists() {
    let sources = sources();
    for (number, cell) in rows() {
        assert!(!cell.is_empty(), "case {number} says nothing");
        for name in cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
            let (module, function) = name.split_once("::").unwrap();
            let source =
                sources.get(module).unwrap_or_else(|| panic!("case {number}: there is no module {module} in tests"));
            assert!(source.contains(&format!("fn {function}()")), "case {number}: {module} has no {function}");
        }
    }
}
