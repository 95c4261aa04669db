//! The configuration file, read by the real program.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

fn capacity(config: &Path) -> (i32, String) {
    grootfs(&["--config", config.to_str().expect("text"), "capacity"])
}

fn grootfs(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_grootfs"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("grootfs starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code().expect("an exit code"), String::from_utf8(output.stdout).expect("text"))
}

/// Runs `capacity` with a file of this content.
fn with_content(content: &[u8]) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    fs::write(&path, content).expect("written");
    capacity(&path)
}

#[test]
fn capacity_is_the_configured_size() {
    let expected = (0, "{\"capacity\":190092}\n".to_owned());
    assert_eq!(with_content(b"init:\n  store_size_bytes: 190092\n"), expected);
    assert_eq!(
        with_content(b"store: /no/such\nnew_key: [1]\ninit: {store_size_bytes: 190_092, owneruser: ''}"),
        expected
    );
}

#[test]
fn an_empty_file_is_valid() {
    for content in ["", "---\n", "# comment\n"] {
        assert_eq!(with_content(content.as_bytes()), (0, "{\"capacity\":0}\n".to_owned()), "{content:?}");
    }
}

#[test]
fn the_example_is_valid() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yml");
    assert_eq!(capacity(&example), (0, "{\"capacity\":0}\n".to_owned()));
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let (missing, looped) = (directory.path().join("missing.yml"), directory.path().join("loop"));
    symlink(&looped, &looped).expect("linked");
    for (path, reason) in [(missing.as_path(), "no such file or directory"), (looped.as_path(), "too many levels")] {
        let (code, text) = capacity(path);
        let expected = format!("invalid config path: open {}: {reason}", path.display());
        assert!(code == 1 && text.starts_with(&expected) && text.lines().count() == 1, "{text}");
    }
    let (code, text) = capacity(directory.path());
    assert!(code == 1 && text.starts_with("invalid config path: ") && text.ends_with("is a directory\n"), "{text}");
}

#[test]
fn an_empty_path_is_no_file() {
    assert_eq!(grootfs(&["--config", "", "capacity"]), (0, "{\"capacity\":0}\n".to_owned()));
}

#[test]
fn content_that_is_wrong() {
    for content in ["store: [", "init: {store_size_bytes: many}", "create: 5", "{", "\0", "- list"] {
        let (code, text) = with_content(content.as_bytes());
        assert_eq!(code, 1, "{content:?}");
        assert!(text.starts_with("invalid config file: ") && text.lines().count() == 1, "{content:?}: {text}");
    }
    assert_eq!(with_content(b"store: \xff").0, 1);
}

#[test]
fn negative_numbers_fail_every_command() {
    for (content, message) in [
        ("create: {disk_limit_size_bytes: -1}", "invalid argument: disk limit cannot be negative\n"),
        ("clean: {threshold_bytes: -1}", "invalid argument: clean threshold cannot be negative\n"),
    ] {
        assert_eq!(with_content(content.as_bytes()), (1, message.to_owned()));
    }
}
