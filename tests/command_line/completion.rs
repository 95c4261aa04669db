//! Completions of the command line, in a real shell.

use std::fs;

use crate::support::{TempStore, grootfs_binary, program, run, small_image};

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/completions/grootfs.bash");
    let complete = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
        _grootfs_or_ids \"$1\" \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let outcome = run(program("bash").args(["-c", complete, "bash", script, grootfs_binary()]).args(words));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    outcome.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn ids_of_the_store_that_the_line_names_are_offered() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    for id in ["web-1", "web-2", "other"] {
        store.create(&url, id);
    }
    let path = store.path().to_str().expect("text");
    let config = store.beside("config.yml");
    fs::write(&config, format!("store: {path}\n")).expect("written");
    let config = config.to_str().expect("text");
    for command in ["delete", "stats", "inspect", "mount", "umount", "limit", "commit", "diff"] {
        assert_eq!(offered(&["--store", path, command, "web"]), ["web-1", "web-2"], "{command}");
    }
    assert_eq!(offered(&["--store", "=", path, "delete", ""]), ["other", "web-1", "web-2"]);
    assert_eq!(offered(&["--config", config, "inspect", "--json", "o"]), ["other"]);
    assert_eq!(offered(&["delete", "--store", path, "o"]), ["other"]);
    // Commands and flags as ever, and no second id.
    assert_eq!(offered(&["--store", path, "del"]), ["delete-store", "delete"]);
    assert!(offered(&["--store", path, "delete", "--st"]).contains(&"--store".to_owned()));
    assert!(!offered(&["--store", path, "limit", "web-1", ""]).contains(&"web-2".to_owned()));
    // A store that is not there has none.
    assert_eq!(offered(&["--store", "/no/such", "delete", ""]), [""; 0]);
}
