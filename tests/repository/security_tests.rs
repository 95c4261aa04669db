//! `docs/security-tests.md` names tests: each exists.

use std::fs;

use super::{files_below, root};

/// Names between backquotes that are a function's, a file's, or neither (flags, fuzz targets).
#[test]
fn each_test_named_exists() {
    let text = fs::read_to_string(root().join("docs/security-tests.md")).unwrap();
    let sources: String = ["tests", "drax/tests"]
        .iter()
        .flat_map(|below| files_below(&root().join(below)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let targets: Vec<String> = files_below(&root().join("fuzz/fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault"));
    let mut named = 0;
    for name in rows.flat_map(|row| row.split('`').skip(1).step_by(2).collect::<Vec<_>>()) {
        let is_test = name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.contains('/') {
            assert!(root().join(name).is_file(), "there is no {name}");
        } else if is_test && !targets.iter().any(|target| target == name) {
            assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 15, "{named} tests");
}
