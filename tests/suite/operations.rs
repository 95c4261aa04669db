//! Every command of the runbook in `docs/operations.md`, on a store in the state that its section is about.

use std::fs;
use std::path::Path;

use crate::support::{DRIVER, Driver, TempStore, detach_loops, run, small_image, unmount_below};

const PROMPT: &str = "# grootfs --store /var/lib/grootfs/xfs ";

/// The sections that have commands: their headings, and the words of each command.
fn sections() -> Vec<(String, Vec<Vec<String>>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let sections = text.split("\n## ").skip(1).map(|section| {
        let heading = section.lines().next().unwrap().to_owned();
        let commands = section.lines().filter_map(|line| line.strip_prefix(PROMPT));
        (heading, commands.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    });
    sections.filter(|(_, commands): &(String, Vec<_>)| !commands.is_empty()).collect()
}

#[test]
fn the_commands_of_the_runbook_work() {
    let sections = sections();
    assert_eq!(sections.len(), 7, "{sections:?}");
    for (heading, commands) in sections {
        let store = TempStore::new();
        store.create(&small_image(&store.beside("image")), "my-image");
        store.ok(["flush-volumes"]);
        if heading.starts_with("After") {
            unmount_below(store.path());
            detach_loops(store.path().parent().unwrap());
        }
        for mut command in commands {
            // This kernel may have no quotas of XFS.
            if command[0] == "init-store" && *DRIVER == Driver::OverlayXfs {
                command.push("--without-quota".to_owned());
            }
            let outcome = run(&mut store.command(&command));
            assert_eq!(outcome.code, Some(0), "{heading}: {command:?}: {outcome:?}");
        }
    }
}
