//! Which module imports which: the table of `docs/architecture.md` is the rule, and this reads it and the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{files_below, root};

/// What a module may import: other modules, or single items of them (`unpacker::WhiteoutFormat`).
pub(super) type Rules = BTreeMap<String, BTreeSet<String>>;

/// Rows are `` | `src/<module>/` | what | may import | ``. What every module may import stands in the table's head.
pub(super) fn rules() -> Rules {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let head = text.lines().find(|line| line.starts_with("| where |")).expect("the table of modules");
    let everybody: BTreeSet<String> = quoted(&cells(head)[3]);
    let rows = text.lines().filter(|line| line.starts_with("| `src/"));
    rows.map(|row| {
        let cells = cells(row);
        let module = cells[1].trim_matches('`').trim_start_matches("src/").trim_end_matches('/');
        let imports = quoted(&cells[3]).into_iter().chain(everybody.clone()).collect();
        (module.trim_end_matches(".rs").to_owned(), imports)
    })
    .collect()
}

/// What every module may import.
pub(super) fn everybody_may_import(rules: &Rules) -> BTreeSet<String> {
    let mut sets = rules.values().cloned();
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, names| common.intersection(&names).cloned().collect())
}

/// The parts of a text between backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What follows `crate::` in the code of a file, two names deep, and whether it uses the package `drax`; tests and comments are not code.
fn imports(path: &Path) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = BTreeSet::new();
    for line in code {
        if line.contains("drax::") {
            found.insert(("drax".to_owned(), String::new()));
        }
        for rest in line.split("crate::").skip(1) {
            let group = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap());
            for path in group.unwrap_or(rest.split([';', '}', ')']).next().unwrap()).split(", ") {
                let mut names = path.split(|c: char| !c.is_alphanumeric() && c != '_');
                let module = names.next().unwrap().to_owned();
                found.insert((module, names.find(|name| !name.is_empty()).unwrap_or_default().to_owned()));
                if group.is_none() {
                    break;
                }
            }
        }
    }
    found
}

/// The module that a file belongs to; `lib.rs` and `main.rs` belong to none.
fn module_of(path: &Path) -> Option<String> {
    let name = path.strip_prefix(root().join("src")).unwrap().iter().next().unwrap().to_str().unwrap();
    let name = name.trim_end_matches(".rs");
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

#[test]
fn modules_know_what_the_table_says_and_no_more() {
    let rules = rules();
    let (mut modules, mut unused) = (BTreeSet::new(), rules.clone());
    let mut wrong = Vec::new();
    for path in files_below(&root().join("src")) {
        let Some(module) = module_of(&path) else { continue };
        let Some(known) = rules.get(&module) else { panic!("{module} has no row in the table") };
        for (import, item) in imports(&path) {
            let (whole, single) = (import.clone(), format!("{import}::{item}"));
            if import != module && !known.contains(&whole) && !known.contains(&single) {
                wrong.push(format!("{}: {single}", path.display()));
            }
            unused.get_mut(&module).unwrap().retain(|known| *known != whole && *known != single);
        }
        modules.insert(module);
    }
    assert!(wrong.is_empty(), "not in the table of docs/architecture.md:\n{}", wrong.join("\n"));
    assert!(rules.keys().eq(&modules), "the table has a row for a module that there is not");
    let everybody = everybody_may_import(&rules);
    unused.values_mut().for_each(|known| known.retain(|name| !everybody.contains(name)));
    unused.retain(|_, known| !known.is_empty());
    assert!(unused.is_empty(), "in the table of docs/architecture.md, but not so: {unused:?}");
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    for directory in ["src", "drax/src"] {
        for path in files_below(&root().join(directory)) {
            let is_sys = path.strip_prefix(root().join(directory)).unwrap().starts_with("sys");
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            // Blocks, functions and attributes alike.
            let has_unsafe = code.into_iter().any(|line| words(line).any(|word| word == "unsafe"));
            assert!(is_sys || !has_unsafe, "{}", path.display());
        }
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn the_working_directory_is_changed_in_sys_alone() {
    const CALLS: [&str; 3] = ["chdir", "fchdir", "set_current_dir"];
    for path in files_below(&root().join("src")) {
        let is_sys = path.starts_with(root().join("src/sys"));
        let text = fs::read_to_string(&path).unwrap();
        // The word in quotes is the operation that an error names.
        let code = text.replace("\"chdir\"", "");
        let calls = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let changes_it = calls.into_iter().any(|line| words(line).any(|word| CALLS.contains(&word)));
        assert!(is_sys || !changes_it, "{}", path.display());
    }
}

/// Hosts have version 1, version 2, or both. A bundle names the mount that a runtime makes of whichever there is.
#[test]
fn nothing_looks_at_control_groups() {
    for directory in ["src", "drax/src"] {
        let paths = files_below(&root().join(directory));
        for path in paths.into_iter().filter(|path| !path.ends_with("src/cli/bundle.rs")) {
            assert!(!fs::read_to_string(&path).unwrap().contains("cgroup"), "{}", path.display());
        }
    }
}
