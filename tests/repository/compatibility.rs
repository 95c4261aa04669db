//! `docs/compatibility.md` is a promise too: each of the 231 cases once, and every test it names exists. So is what
//! `docs/drax-security.md` says of tests.

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
    let mut ahead = ["tests", "drax/tests"].map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).to_vec();
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
        check_named(&format!("case {number}"), &cell, &sources);
    }
}

/// A rule without a test says so by naming none, which is for the last column alone.
#[test]
fn every_rule_of_the_helper_names_its_tests() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drax-security.md");
    let (document, sources) = (fs::read_to_string(path).unwrap(), sources());
    let mut rules = 0;
    for table in document.split("\n\n").filter(|part| part.starts_with("| rule |")) {
        for row in table.lines().skip(2) {
            let (_, tests) = row.trim_end_matches([' ', '|']).rsplit_once('|').unwrap();
            assert!(tests.contains('`'), "no test: {row}");
            check_named(row, tests, &sources);
            rules += 1;
        }
    }
    assert!(rules > 25, "{rules} rules: the tables are not where they were");
}

/// Checks that the tests named in a cell exist.
#[track_caller]
fn check_named(what: &str, cell: &str, sources: &BTreeMap<String, String>) {
    for name in cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        let (module, function) = name.split_once("::").unwrap();
        let source = sources.get(module).unwrap_or_else(|| panic!("{what}: there is no module {module} in tests"));
        assert!(source.contains(&format!("fn {function}(")), "{what}: {module} has no {function}");
    }
}
