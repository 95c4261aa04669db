//! `docs/promises.md` names the tests of each promise: they exist, and each promise that tests bear the number of is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{files_below, root};

/// The rows `| <number> | promise | tests | attacked by |`, as number and tests.
fn promises() -> Vec<(u32, Vec<String>)> {
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = cells.get(1)?.parse().ok()?;
        Some((number, cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect()))
    });
    rows.collect()
}

/// Numbers in names like `promise_06_…`, in files and in their names.
fn numbers_below(directory: &str) -> BTreeSet<u32> {
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap() + path.to_str().unwrap();
    let texts: String = files_below(&root().join(directory)).iter().map(text).collect();
    texts.split("promise_").skip(1).filter_map(|rest| rest.get(..2)?.parse::<u32>().ok()).collect()
}

#[test]
fn the_tests_of_each_promise_exist() {
    let promises = promises();
    assert!(promises.iter().map(|(number, _)| *number).eq(1..=13), "{promises:?}");
    for (number, tests) in promises {
        assert!(!tests.is_empty(), "promise {number} names no test");
        for test in tests {
            assert!(root().join(&test).is_file(), "promise {number}: there is no {test}");
        }
    }
}

#[test]
fn each_number_that_tests_bear_is_a_promise() {
    let found: BTreeSet<u32> = &numbers_below("tests") | &numbers_below("drax/tests");
    let known: BTreeSet<u32> = promises().into_iter().map(|(number, _)| number).collect();
    assert!(!found.is_empty() && found.is_subset(&known), "{found:?} beside {known:?}");
}
