//! The command line of the real program, as far as it needs no store: spellings, messages, exit codes, channels.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use crate::support::grootfs_binary;

fn grootfs<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(grootfs_binary());
    command.args(arguments).env("GROOTFS_CONFIG", "").stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    grootfs(line.split_whitespace()).output().expect("grootfs starts")
}

/// Runs and gives the exit code and standard output; standard error must be empty.
#[track_caller]
fn quiet(line: &str) -> (i32, String) {
    outcome(&run(line))
}

#[track_caller]
fn outcome(output: &Output) -> (i32, String) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let code = output.status.code().expect("an exit code");
    (code, String::from_utf8(output.stdout.clone()).expect("output is text"))
}

#[test]
fn version_is_printed_in_every_spelling() {
    let version = format!("grootfs version {}\n", env!("CARGO_PKG_VERSION"));
    for line in ["--version", "-v", "-version", "--store /s --version", "--version no-such-command"] {
        assert_eq!(quiet(line), (0, version.clone()), "{line}");
    }
}

#[test]
fn help_goes_to_standard_output() {
    for line in ["", "--help", "-h", "-help", "help", "h", "--store /s", "--store /s -h"] {
        let (code, text) = quiet(line);
        assert_eq!(code, 0, "{line}");
        assert!(text.starts_with("I am Groot!\n"), "{line}: {text}");
        for command in ["create", "delete", "stats", "clean", "list", "init-store", "delete-store", "capacity"] {
            assert!(text.contains(&format!("\n  {command} ")), "{line} lacks {command}: {text}");
        }
        assert!(!text.contains("generate-volume-size-metadata"), "{text}");
    }
}

#[test]
fn every_command_has_help() {
    for command in [
        "create",
        "delete",
        "stats",
        "clean",
        "list",
        "init-store",
        "delete-store",
        "capacity",
        "generate-volume-size-metadata",
    ] {
        for line in [format!("{command} --help"), format!("{command} -h"), format!("help {command}")] {
            let (code, text) = quiet(&line);
            assert_eq!(code, 0, "{line}");
            assert!(text.contains("Usage: grootfs ") && text.contains(command), "{line}: {text}");
        }
    }
    let (_, text) = quiet("create --help");
    for flag in ["--disk-limit-size-bytes <BYTES>", "--without-mount", "--password", "Quota:", "Examples:", "--store"] {
        assert!(text.contains(flag), "no {flag}: {text}");
    }
}

#[test]
fn help_names_the_defaults() {
    let (_, text) = quiet("-h");
    let defaults = grootfs::config::Config::default();
    for default in [
        defaults.store.to_str().expect("text"),
        defaults.tardis_bin.to_str().expect("text"),
        defaults.drax_bin.to_str().expect("text"),
        defaults.newuidmap_bin.to_str().expect("text"),
        defaults.newgidmap_bin.to_str().expect("text"),
    ] {
        assert!(text.contains(&format!("[default: {default}]")), "{default}: {text}");
    }
}

#[test]
fn an_unknown_command_exits_3() {
    assert_eq!(quiet("frobnicate --store x"), (3, "No help topic for 'frobnicate'\n".to_owned()));
    assert_eq!(quiet("help frobnicate"), (3, "No help topic for 'frobnicate'\n".to_owned()));
    // The configuration comes first.
    assert_eq!(quiet("--config /no/such frobnicate").0, 1);
}

#[test]
fn usage_errors_are_one_line_and_name_the_flag() {
    for (line, message) in [
        ("--stor /x list", "unexpected argument '--stor' found; a similar argument exists: '--store'"),
        ("-stor /x list", "unexpected argument '--stor' found; a similar argument exists: '--store'"),
        ("list --threshold-bytes 1", "unexpected argument '--threshold-bytes' found"),
        (
            "clean --threshold-bytes many",
            "invalid value 'many' for '--threshold-bytes <BYTES>': must be a number of bytes, as 100M or 1.5GiB",
        ),
        (
            "clean --threshold-bytes 1.5",
            "invalid value '1.5' for '--threshold-bytes <BYTES>': must be a number of bytes, as 100M or 1.5GiB",
        ),
        ("clean --threshold-bytes", "a value is required for '--threshold-bytes <BYTES>' but none was supplied"),
        ("create --concurrent-downloads few i x", "'few' for '--concurrent-downloads <N>': must be a number"),
        ("create --registry-mirror m i x", "'m' for '--registry-mirror <HOST=ENDPOINT>': must be HOST=ENDPOINT"),
        ("create --with-clean=maybe i x", "unexpected value 'maybe' for '--with-clean' found"),
        ("create --skip-layer-validation=maybe i x", "'--skip-layer-validation[=<BOOL>]': must be true or false"),
    ] {
        let (code, text) = quiet(line);
        assert_eq!(code, 1, "{line}");
        assert!(text.starts_with("Incorrect Usage: ") && text.contains(message), "{line}: {text}");
        assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true), "{text}");
    }
}

#[test]
fn wrong_numbers_of_operands() {
    let create = "invalid arguments - usage: create [options] <image> <id>\n";
    let stats = "invalid arguments - usage: stats [options] <id|image path>\n";
    let init = "invalid arguments - usage: init-store --store <path>\n";
    for (line, message) in [
        ("create", create),
        ("create image", create),
        ("create image id more", create),
        ("create --with-clean image", create),
        ("delete", "id was not specified\n"),
        ("delete a b", "id was not specified\n"),
        ("stats", stats),
        ("stats a b", stats),
        ("init-store more", init),
        ("generate-volume-size-metadata more", "invalid arguments - usage: \n"),
    ] {
        assert_eq!(quiet(line), (1, message.to_owned()), "{line}");
    }
    for command in ["list", "clean", "capacity", "delete-store", "usage", "check", "doctor", "version", "config show"] {
        let (code, said) = quiet(&format!("{command} more"));
        assert_eq!((code, said.contains("more"), said.lines().count()), (1, true, 1), "{command}: {said}");
    }
    let (code, said) = quiet("capacity -- --store");
    assert_eq!((code, said.contains("--store"), said.lines().count()), (1, true, 1), "{said}");
}

#[test]
fn negative_sizes_are_refused_by_name() {
    for (line, message) in [
        ("create --disk-limit-size-bytes -200 image id", "invalid argument: disk limit cannot be negative\n"),
        ("create image id --disk-limit-size-bytes=-200", "invalid argument: disk limit cannot be negative\n"),
        ("create -threshold-bytes -1 image id", "invalid argument: clean threshold cannot be negative\n"),
        ("clean --threshold-bytes -10", "invalid argument: clean threshold cannot be negative\n"),
        ("init-store --store-size-bytes -0x10", "invalid argument: store size cannot be negative\n"),
        ("init-store --store-size-bytes -1.5G", "invalid argument: store size cannot be negative\n"),
    ] {
        assert_eq!(quiet(line), (1, message.to_owned()), "{line}");
    }
}

#[test]
fn both_clean_flags_conflict_unless_one_is_false() {
    let conflict = "with-clean and without-clean cannot be used together\n";
    assert_eq!(quiet("create --with-clean --without-clean image id"), (1, conflict.to_owned()));
    assert_ne!(quiet("create --with-clean --without-clean=false image").1, conflict);
}

#[test]
fn capacity_is_what_go_spellings_leave_of_it() {
    let expected = (0, "{\"capacity\":0}\n".to_owned());
    for line in [
        "capacity",
        "-store /s capacity",
        "-store=/s capacity",
        "--store /s --store /t capacity",
        "capacity --store /s",
        "-- capacity",
        "--version=false capacity",
        "--metron-endpoint 127.0.0.1:3457 --driver btrfs --drax-bin d --tardis-bin t --btrfs-progs-path p capacity",
        "--newuidmap-bin u --newgidmap-bin g --log-level fatal --log-timestamp-format unix-epoch capacity",
    ] {
        assert_eq!(quiet(line), expected, "{line}");
    }
}

#[test]
fn arguments_that_are_no_text_do_no_harm() {
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let flag = OsStr::from_bytes(b"--st\xff=x");
    let path = outcome(&grootfs([OsStr::new("--store"), odd, "capacity".as_ref()]).output().expect("grootfs starts"));
    assert_eq!(path, (0, "{\"capacity\":0}\n".to_owned()));
    for arguments in [vec![odd], vec![flag], vec!["delete".as_ref(), odd], vec!["create".as_ref(), odd, flag]] {
        let (code, text) = outcome(&grootfs(&arguments).output().expect("grootfs starts"));
        assert!(code == 1 || code == 3, "{arguments:?}: {code}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let output = grootfs(["a\u{1b}[31m\nb"]).output().expect("grootfs starts");
    assert_eq!(outcome(&output), (3, "No help topic for 'a\\u{1b}[31m b'\n".to_owned()));
}

#[test]
fn an_answer_that_nobody_can_read_is_an_error() {
    for line in ["capacity", "--help", "--version", "help create", "clean --help", ""] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        for stdout in [Stdio::from(writer), Stdio::from(full)] {
            let output = grootfs(line.split_whitespace()).stdout(stdout).output().expect("grootfs starts");
            assert_eq!((outcome(&output), output.stderr), ((1, String::new()), Vec::new()), "{line:?}");
        }
        let mut closed = Command::new("sh");
        closed
            .args(["-c", "exec \"$@\" >&-", "sh", grootfs_binary()])
            .args(line.split_whitespace())
            .env("GROOTFS_CONFIG", "");
        assert_eq!(closed.status().expect("sh starts").code(), Some(1), "{line:?}");
    }
}

#[test]
fn an_answer_that_nobody_wants_is_none() {
    let output = grootfs(["capacity"]).stdout(Stdio::null()).output().expect("grootfs starts");
    assert_eq!(outcome(&output).0, 0);
}

#[test]
fn a_password_is_never_shown() {
    for line in [
        "--log-level debug create --username me --password hunter2 image",
        "--log-level debug create --username me --password=hunter2 image id more",
        "--log-level debug create -pasword=hunter2 image id",
        "--log-level debug create --pasword hunter2 image id",
        "--log-level debug create --password hunter2 --threshold-bytes x image id",
    ] {
        let output = run(line);
        let shown = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&shown).contains("hunter2"), "{line}");
    }
}
