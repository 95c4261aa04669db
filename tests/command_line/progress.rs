//! Progress bars: on a terminal, for layers that are on their way, and nowhere else.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Answer, ScriptedRegistry, TempStore, assert_whole, forget, grootfs, large_layer, layout};

/// A registry that takes a moment for the large layer.
fn slow_registry(store: &TempStore) -> ScriptedRegistry {
    ScriptedRegistry::start(&layout(store), |asked| match asked.path.ends_with(&large_layer().digest) {
        true => Answer::Drip(300_000, Duration::from_millis(60)),
        false => Answer::Serve,
    })
}

/// What a create writes to standard error, where that is a terminal of 100 columns. Its answer goes to a file.
fn on_terminal(store: &TempStore, url: &str, flags: &[&str], variables: &[(&str, &str)]) -> String {
    // Not by way of the store, which would have it log where tests are to.
    let (answer, mut command) = (store.beside("answer"), grootfs());
    command.arg("--store").arg(store.path()).arg("create").args(flags).args([url, "x"]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let line = format!("stty cols 100; {} >'{}'", words.join(" "), answer.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    script.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    let output = script.output().expect("the tests need script, of the package bsdutils");
    assert!(output.status.success(), "{output:?}");
    let answer = fs::read_to_string(answer).unwrap();
    assert!(answer.starts_with('{') && answer.lines().count() == 1, "{answer}");
    assert_whole(&store.rootfs("x"));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether there are bars in it, with a name, bytes and a rate.
fn has_bars(shown: &str) -> bool {
    let name = &large_layer().digest["sha256:".len()..][..12];
    let is_bar = |part: &str| part.contains(name) && part.contains("MiB") && part.contains("B/s") && part.contains('=');
    shown.split('\r').any(is_bar)
}

/// Whether it has colours or the like (ECMA-48, SGR).
fn has_colours(shown: &str) -> bool {
    let codes = shown.split("\x1b[").skip(1);
    codes
        .filter_map(|code| code.find(|c: char| c.is_ascii_alphabetic()).map(|end| &code[end..=end]))
        .any(|end| end == "m")
}

#[test]
fn a_terminal_gets_a_bar_for_each_layer_and_keeps_none() {
    let store = TempStore::new();
    let server = slow_registry(&store);
    let shown = on_terminal(&store, &server.url(), &["--insecure-registry", &server.host()], &[]);
    assert!(has_bars(&shown) && has_colours(&shown), "{shown:?}");
    // The last that is written takes the last bar away.
    let end = shown.rsplit("B/s").next().unwrap();
    assert!(end.contains("\x1b[2K") && !end.contains('='), "{end:?}");

    let server_again = on_terminal_again(&store, &server);
    assert_eq!(server_again, "", "nothing is on its way");
}

/// The same image once more, under another id.
fn on_terminal_again(store: &TempStore, server: &ScriptedRegistry) -> String {
    store.ok(["delete", "x"]);
    on_terminal(store, &server.url(), &["--insecure-registry", &server.host()], &[])
}

#[test]
fn colours_can_be_unwanted() {
    let store = TempStore::new();
    let server = slow_registry(&store);
    let shown = on_terminal(&store, &server.url(), &["--insecure-registry", &server.host()], &[("NO_COLOR", "1")]);
    assert!(has_bars(&shown) && !has_colours(&shown), "{shown:?}");
}

#[test]
fn no_bars_where_they_are_unwanted_or_would_be_in_the_way() {
    let store = TempStore::new();
    let server = slow_registry(&store);
    let insecure = ["--insecure-registry", &server.host()];
    let (quiet, dumb, logging) = (["--no-progress"], [("TERM", "dumb")], ["--log-file", "/dev/null"]);
    for (flags, variables) in [(&quiet[..], &[][..]), (&[], &dumb), (&logging, &[])] {
        let shown = on_terminal(&store, &server.url(), &[flags, &insecure[..]].concat(), variables);
        assert_eq!(shown, "", "{flags:?} {variables:?}");
        forget(&store, "x");
    }
    let shown = on_terminal(&store, &server.url(), &[&["--log-level", "debug"], &insecure[..]].concat(), &[]);
    assert!(shown.contains("{\"timestamp\"") && !has_bars(&shown), "{shown:?}");
}
