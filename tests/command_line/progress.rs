//! Progress bars: on a terminal, for layers that are on their way, and nowhere else.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{
    Answer, ScriptedRegistry, TempStore, assert_whole, forget, grootfs, image, large_layer, layout, wait_for,
};

/// A registry that takes a moment for the large layer.
fn slow_registry(store: &TempStore) -> ScriptedRegistry {
    ScriptedRegistry::start(&layout(store), |asked| match asked.path.ends_with(&large_layer().digest) {
        true => Answer::Drip(300_000, Duration::from_millis(60)),
        false => Answer::Serve,
    })
}

/// What a create writes to standard error, where that is a terminal of 100 columns. Its answer goes to a file.
fn on_terminal(store: &TempStore, url: &str, flags: &[&str], variables: &[(&str, &str)]) -> String {
    on_terminal_of(100, store, url, flags, variables, |_| {})
}

/// The same on a terminal of so many columns; `see` is called with all that it shows so far.
fn on_terminal_of(
    columns: usize,
    store: &TempStore,
    url: &str,
    flags: &[&str],
    variables: &[(&str, &str)],
    mut see: impl FnMut(&str),
) -> String {
    // Not by way of the store, which would have it log where tests are to.
    let (answer, mut command) = (store.beside("answer"), grootfs());
    command.arg("--store").arg(store.path()).arg("create").args(flags).args([url, "x"]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let line = format!("stty rows 24 cols {columns}; {} >'{}'", words.join(" "), answer.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    script.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    let script = script.stdout(Stdio::piped()).spawn();
    let mut script = script.expect("the tests need script, of the package bsdutils");
    let (mut shown, mut buffer, mut terminal) = (Vec::new(), [0; 4096], script.stdout.take().unwrap());
    loop {
        let count = terminal.read(&mut buffer).unwrap();
        shown.extend_from_slice(&buffer[..count]);
        see(&String::from_utf8_lossy(&shown));
        if count == 0 {
            break;
        }
    }
    assert!(script.wait().unwrap().success(), "{}", String::from_utf8_lossy(&shown));
    let answer = fs::read_to_string(answer).unwrap();
    assert!(answer.starts_with('{') && answer.lines().count() == 1, "{answer}");
    assert_whole(&store.rootfs("x"));
    String::from_utf8(shown).unwrap()
}

/// The lines that were shown on a terminal of so many columns, without what colours them and moves the cursor (ECMA-48).
/// A line that fills the terminal has no other end than that; so what begins in the middle of one was too long.
#[track_caller]
fn lines(shown: &str, columns: usize) -> Vec<String> {
    let mut text = String::new();
    for (index, part) in shown.split("\x1b[").enumerate() {
        let end = if index == 0 { 0 } else { part.find(|c: char| c.is_ascii_alphabetic()).map_or(0, |end| end + 1) };
        if index > 0 && !part[..end].ends_with('m') {
            text.push('\n');
        }
        text.push_str(&part[end..]);
    }
    let texts = text.split(['\n', '\r']).map(|text| text.chars().collect::<Vec<_>>());
    let lines: Vec<String> =
        texts.flat_map(|text| text.chunks(columns).map(String::from_iter).collect::<Vec<_>>()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
    let names: Vec<_> =
        image().layer_digests().iter().map(|digest| digest["sha256:".len()..][..12].to_owned()).collect();
    let is_begin = |line: &str| {
        line.as_bytes().get(1) == Some(&b'/')
            || line.starts_with("retrying (")
            || names.iter().any(|name| line.starts_with(name))
    };
    let broken: Vec<_> = lines.iter().filter(|line| !is_begin(line)).collect();
    assert!(broken.is_empty(), "{columns}: {broken:#?} of {lines:#?}");
    lines
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

#[test]
fn lines_fit_the_terminal_and_tell_how_far_all_layers_are() {
    let store = TempStore::new();
    let server = slow_registry(&store);
    let insecure = ["--insecure-registry", &server.host()];
    for columns in [40, 80, 200] {
        let shown = on_terminal_of(columns, &store, &server.url(), &insecure, &[], |_| {});
        let lines = lines(&shown, columns);
        let has = |begin: &str, parts: &[&str]| {
            let is_it = |line: &&String| line.starts_with(begin) && parts.iter().all(|part| line.contains(part));
            assert!(lines.iter().any(|line| is_it(&line)), "{columns}: no {begin} {parts:?} in {lines:#?}");
        };
        // The last of the three layers is the slow one.
        has(if columns < 60 { "2/3 " } else { "2/3 layers " }, &["=", " of 3.0 MiB", " left"]);
        has(&large_layer().digest["sha256:".len()..][..12], &["=", " of 3.0 MiB"]);
        forget(&store, "x");
    }
}

#[test]
fn retries_are_shown_with_their_reason() {
    for columns in [40, 200] {
        let store = TempStore::new();
        let server = ScriptedRegistry::start(&layout(&store), |asked| match asked.before {
            0 if asked.path.ends_with(&large_layer().digest) => Answer::Status(503, Vec::new(), String::new()),
            _ => Answer::Serve,
        });
        let insecure = ["--insecure-registry", &server.host()];
        let lines = lines(&on_terminal_of(columns, &store, &server.url(), &insecure, &[], |_| {}), columns);
        let expected = "retrying (2 of 5): the server answers 503 Service Unavailable: http://127.0.0.1";
        let expected = &expected[..expected.len().min(columns)];
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{lines:#?}");
    }
}

#[test]
fn a_layer_of_another_process_is_waited_for_in_sight() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |asked| match asked.before {
        0 if asked.path.ends_with(&large_layer().digest) => Answer::StallAfter(1000),
        _ => Answer::Serve,
    });
    let insecure = ["--insecure-registry", &server.host()];
    let mut other = grootfs();
    other.arg("--store").arg(store.path()).arg("create").args(insecure).args([&server.url(), "other"]);
    let mut other = other.stdout(Stdio::null()).spawn().unwrap();
    wait_for("the other create's layer", || {
        server.asked().iter().any(|asked| asked.path.ends_with(&large_layer().digest))
    });
    let (waiting, mut is_killed) = (format!(" waiting for pid {} (", other.id()), false);
    let shown = on_terminal_of(80, &store, &server.url(), &insecure, &[], |shown| {
        if !is_killed && shown.contains(&waiting) {
            other.kill().unwrap();
            is_killed = true;
        }
    });
    other.wait().unwrap();
    lines(&shown, 80);
}
