//! Pages name files of the repository: what they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{files_below, root};

/// Directories whose files pages name by path.
const NAMED: [&str; 10] =
    ["src/", "drax/", "docs/", "tests/", "hack/", "fuzz/", "protocol/", "ci/", "packaging/", "deploy/"];

fn pages() -> Vec<PathBuf> {
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page));
    let docs = files_below(&root().join("docs")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    pages.into_iter().chain(docs).collect()
}

/// What stands between backticks and is made of the letters of a path.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    text.split('`').skip(1).step_by(2).filter(is_path)
}

/// Targets of links within the repository.
fn linked(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("http")).map(|target| target.split('#').next().unwrap_or_default())
}

/// The file names of sources, each with all that may stand before it: `retry.rs`, `http/retry.rs`, ...
fn sources() -> BTreeSet<PathBuf> {
    let files = ["src", "drax", "tests", "fuzz", "protocol"].iter().flat_map(|below| files_below(&root().join(below)));
    let ends = |path: PathBuf| {
        let parts: Vec<_> = path.strip_prefix(root()).unwrap().iter().map(Path::new).map(Path::to_owned).collect();
        (0..parts.len()).map(|begin| parts[begin..].iter().collect()).collect::<Vec<PathBuf>>()
    };
    files.filter(|path| path.extension().is_some_and(|e| e == "rs")).flat_map(ends).collect()
}

#[test]
fn each_file_that_a_page_names_exists() {
    let sources = sources();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let beside = |target: &str| page.parent().unwrap().join(target).exists() || target.is_empty();
        let missing: Vec<&str> = linked(&text).filter(|target| !beside(target)).collect();
        assert!(missing.is_empty(), "{} links to what is not there: {missing:?}", page.display());
        let is_missing = |name: &&str| match () {
            () if NAMED.iter().any(|below| name.starts_with(below)) => !root().join(name).exists(),
            () => name.ends_with(".rs") && !sources.contains(Path::new(name)),
        };
        let missing: Vec<&str> = quoted(&text).filter(is_missing).collect();
        assert!(missing.is_empty(), "{} names what is not there: {missing:?}", page.display());
    }
}
