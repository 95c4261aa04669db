//! `hack/quick-setup`, as the README begins with it. What the README has run next are these tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::pages::blocks_below;
use crate::support::{allow_search, grootfs_binary, run};

/// What it changes of the machine is other directories in this mount namespace.
const ELSEWHERE: &str = "mkdir -p \"$0/lib/dpkg\" \"$0/local/bin\"; mount --bind /var/lib/dpkg \"$0/lib/dpkg\"; \
                         mount --rbind \"$0/lib\" /var/lib; mount --bind \"$0/local\" /usr/local";

#[test]
fn it_sets_up_shows_and_removes() {
    let block = &blocks_below("README.md", "Start")[0];
    let setup =
        block.steps()[0].command.split_once(" #").unwrap().0.trim_end().strip_prefix("sudo ").unwrap().to_owned();
    let scratch = tempfile::Builder::new().prefix("grootfs-test-").tempdir().unwrap();
    allow_search(scratch.path());
    let script = format!("set -e; {ELSEWHERE}; {setup}; echo again; {setup}; echo removal; {setup} --remove --yes");
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", &script]).arg(scratch.path()).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("GROOTFS_SETUP_PROGRAMS", Path::new(grootfs_binary()).parent().unwrap());
    let shown = run(&mut command).success();
    let (first, rest) = shown.split_once("again\n").unwrap();
    let (second, removal) = rest.split_once("removal\n").unwrap();
    for shown in [
        "installed /usr/local/bin/drax",
        "made the store /var/lib/grootfs/xfs",
        "\n  hello\n",
        "Image quick-setup deleted",
    ] {
        assert!(first.contains(shown), "{shown}: {first}");
    }
    assert!(second.contains("everything is set up already: nothing changed"), "{second}");
    assert!(removal.contains("deleted the store /var/lib/grootfs/xfs with its images"), "{removal}");
    for directory in ["lib/grootfs", "local/bin/grootfs"] {
        assert!(!scratch.path().join(directory).exists(), "{directory}");
    }
    assert_eq!(fs::read_dir(scratch.path().join("local/bin")).unwrap().count(), 0);
}
