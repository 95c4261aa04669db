//! Promise 10: one line tells the user what to do, and secrets never appear. (That every failure is one line is checked
//! by every test that expects one.)

use std::fs;

use crate::support::{SECRET, TempStore, small_image};

#[test]
fn promise_10_credentials_are_in_no_answer_and_no_log() {
    let store = TempStore::new();
    let log = store.beside("log");
    let good = small_image(&store.beside("image"));
    for (n, image) in
        [good.as_str(), "oci:///not/here:latest", "/not/here.tar", "docker://127.0.0.1:1/image"].iter().enumerate()
    {
        let id = format!("x-{n}");
        for flags in [vec!["--log-level", "debug"], vec!["--log-level", "debug", "--log-file", log.to_str().unwrap()]] {
            let create = ["create", "--username", "groot", "--password", SECRET, image, &id];
            let outcome = store.run([&flags[..], &create].concat());
            assert!(!outcome.stdout.contains(SECRET) && !outcome.stderr.contains(SECRET), "{image}");
        }
    }
    assert!(!fs::read_to_string(log).unwrap().contains(SECRET));
}

#[test]
fn promise_10_nothing_but_the_answer_is_printed_without_a_log_level() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    // `ok` and `fails` insist on a silent standard error.
    store.ok(["create", &url, "x"]);
    store.ok(["stats", "x"]);
    store.ok(["list"]);
    store.ok(["clean"]);
    store.ok(["delete", "x"]);
    store.ok(["delete", "x"]);
    store.fails(["stats", "x"]);
    store.fails(["create", "/not/here.tar", "x"]);
}

#[test]
fn promise_10_an_id_cannot_break_the_line() {
    let store = TempStore::new();
    for command in ["stats", "delete"] {
        let said = store.run([command, "a\nb\x1b[31m"]).stdout;
        assert_eq!(said, "Image `a b\\u{1b}[31m` not found. Skipping delete.\n", "{command}");
    }
}
