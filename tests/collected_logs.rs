//! All that was logged in a test run, read as Garden reads it. `hack/test` runs this in the end, when every other test has
//! left its logs in `GROOTFS_TEST_LOGS` (see `grootfs_test_support::logs`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use grootfs_test_support::{SECRETS, chug, logs};

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What is in them, which must be something.
fn collected() -> Vec<(PathBuf, Vec<u8>)> {
    let directory = logs::directory().expect("GROOTFS_TEST_LOGS names the logs of a test run: see hack/test");
    let logs: Vec<_> = files(&directory).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(logs.len() > 100, "{} logs in {} are not those of a test run", logs.len(), directory.display());
    logs
}

#[test]
fn garden_understands_every_line() {
    let (mut lines, mut commands) = (0, BTreeMap::new());
    for (path, log) in collected() {
        let entries = chug::read(&log).unwrap_or_else(|reason| panic!("{}: {reason}", path.display()));
        lines += entries.len();
        for entry in entries {
            let command = entry.message.split('.').nth(1).unwrap().to_owned();
            *commands.entry(command).or_insert(0) += 1;
        }
    }
    println!("{lines} lines, by command: {commands:?}");
    for command in
        ["create", "delete", "stats", "list", "clean", "init-store", "delete-store", "generate-metadata", "capacity"]
    {
        assert!(commands.contains_key(command), "nothing was logged by {command}");
    }
}

#[test]
fn no_line_holds_a_secret() {
    for (path, log) in collected() {
        let log = String::from_utf8_lossy(&log);
        for secret in SECRETS {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{}: {secret} is in {}", path.display(), line.unwrap());
        }
    }
}
