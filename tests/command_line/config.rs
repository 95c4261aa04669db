//! The configuration file, read by the real program.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::support::{self, TempStore, grootfs_binary, run, small_image, wrapped};

fn capacity(config: &Path) -> (i32, String) {
    grootfs(&["--config", config.to_str().expect("text"), "capacity"])
}

fn grootfs(arguments: &[&str]) -> (i32, String) {
    with_environment(arguments, &[])
}

fn with_environment(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = support::grootfs().args(arguments).envs(variables.iter().copied()).output().expect("grootfs starts");
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

/// What `config show --json` tells of a setting: value, origin and, if there is one, the name of that.
fn shown(arguments: &[&str], variables: &[(&str, &str)], setting: &str) -> (Value, String, Option<String>) {
    let (code, text) = with_environment(&[arguments, &["config", "show", "--json"]].concat(), variables);
    assert_eq!(code, 0, "{text}");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let settings = document["settings"].as_array().expect("settings");
    let item = settings.iter().find(|item| item["setting"] == setting).expect("the setting");
    let text = |key: &str| item[key].as_str().map(str::to_owned);
    (item["value"].clone(), text("origin").expect("an origin"), text("name"))
}

#[test]
fn a_setting_comes_from_the_file_the_environment_or_a_flag_in_this_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    fs::write(&path, "store: /file\ncreate: {registry_mirrors: {h: [m]}}\n").expect("written");
    let file = path.to_str().expect("text");
    let variable = [("GROOTFS_STORE", "/variable")];
    let named =
        |value: &str, origin: &str, name: Option<&str>| (value.into(), origin.to_owned(), name.map(str::to_owned));
    assert_eq!(shown(&[], &[], "store"), named("/var/lib/grootfs", "default", None));
    assert_eq!(shown(&["--config", file], &[], "store"), named("/file", "file", Some(file)));
    assert_eq!(
        shown(&["--config", file], &variable, "store"),
        named("/variable", "environment", Some("GROOTFS_STORE"))
    );
    assert_eq!(shown(&["--config", file, "--store", "/flag"], &variable, "store"), named("/flag", "flag", None));
    // An empty variable says nothing, and the file may be named by one.
    let by_variable = [("GROOTFS_CONFIG", file), ("GROOTFS_STORE", "")];
    assert_eq!(shown(&[], &by_variable, "store"), named("/file", "file", Some(file)));
    assert_eq!(shown(&["--config", ""], &by_variable, "store"), named("/var/lib/grootfs", "default", None));
    let (_, text) = grootfs(&["--config", file, "config", "show"]);
    assert!(text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["store", "/file", file]), "{text}");
}

#[test]
fn variables_are_settings_of_commands_that_have_no_such_flag() {
    let variable = |value| [("GROOTFS_INIT_STORE_SIZE_BYTES", value)];
    assert_eq!(with_environment(&["capacity"], &variable("1.5GiB")), (0, "{\"capacity\":1610612736}\n".to_owned()));
    let (code, text) = with_environment(&["capacity"], &variable("many"));
    let reason = "must be a number of bytes, as 100M or 1.5GiB";
    let expected = format!("invalid value of the environment variable GROOTFS_INIT_STORE_SIZE_BYTES: {reason}\n");
    assert_eq!((code, text), (1, expected));
}

#[test]
fn other_flags_of_commands_are_variables_too() {
    let check = |value| with_environment(&["config", "show"], &[("GROOTFS_CONFIG_SHOW_JSON", value)]);
    assert!(check("yes").1.starts_with('{'));
    assert!(check("false").1.starts_with("SETTING"));
    assert!(check("").1.starts_with("SETTING"));
    let message = "Incorrect Usage: invalid value 'maybe' for the environment variable GROOTFS_CONFIG_SHOW_JSON: value was \
                   not a boolean\n";
    assert_eq!(check("maybe"), (1, message.to_owned()));
}

/// Runs a command where `/etc/grootfs/config.yml` has this content, if any, and this mode.
fn with_machine_file(content: Option<&str>, mode: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    let mut script = "set -e; mount -t tmpfs none /etc; mkdir /etc/grootfs; ".to_owned();
    if let Some(content) = content {
        fs::write(&path, content).expect("written");
        script += &format!("install -m {mode} {} /etc/grootfs/config.yml; ", path.display());
    }
    script += "\"$@\"";
    let mut command = support::grootfs();
    command.args(arguments).env_remove("GROOTFS_CONFIG");
    let outcome =
        run(wrapped(&["unshare", "--mount", "sh", "-c", &script, "sh"], &command).env_remove("GROOTFS_CONFIG"));
    (outcome.code, outcome.stdout)
}

#[test]
fn the_file_of_the_machine_is_read_unless_another_is_named() {
    let content = Some("init: {store_size_bytes: 7}");
    let of = |bytes: u32| (Some(0), format!("{{\"capacity\":{bytes}}}\n"));
    assert_eq!(with_machine_file(content, "0600", &["capacity"]), of(7));
    assert_eq!(with_machine_file(None, "0600", &["capacity"]), of(0));
    assert_eq!(with_machine_file(content, "0600", &["--config", "", "capacity"]), of(0));
    let wrong = with_machine_file(Some("store: ["), "0600", &["capacity"]);
    assert!(
        wrong.0 == Some(1) && wrong.1.starts_with("invalid config file: ") && wrong.1.lines().count() == 1,
        "{wrong:?}"
    );
}

#[test]
fn a_file_of_the_machine_that_only_root_may_read_is_named_to_others() {
    let grootfs = tempfile::tempdir().expect("a directory");
    let binary = grootfs.path().join("grootfs");
    fs::copy(grootfs_binary(), &binary).expect("copied");
    let binary = binary.to_str().expect("text");
    let script = "chmod 755 $0; mount -t tmpfs none /etc; mkdir /etc/grootfs; install -m 600 /dev/null /etc/grootfs/config.yml; \
                  exec setpriv --reuid 65534 --clear-groups \"$1\" capacity";
    let mut command = support::program("unshare");
    command.args(["--mount", "sh", "-c", script, grootfs.path().to_str().expect("text"), binary]);
    let outcome = run(command.env_remove("GROOTFS_CONFIG"));
    let message =
        "invalid config path: open /etc/grootfs/config.yml: permission denied; --config '' goes without that file\n";
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), message));
}

#[test]
fn check_tells_everything_that_is_wrong_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    let check = |content: &str| {
        fs::write(&path, content).expect("written");
        grootfs(&["--config", path.to_str().expect("text"), "config", "check"])
    };
    let file = path.display();
    assert_eq!(check("store: /s\ninit: {owneruser: ''}\n"), (0, format!("{file}: no findings\n")));
    let (code, text) = check("stor: /s\nlog_level: debgu\ncreate:\n  with_clean: 3\n");
    assert_eq!(code, 4);
    assert_eq!(
        text,
        format!(
            "{file}:1:1: unknown key `stor`, which has no effect; did you mean `store`?\n\
             {file}:2:1: log_level: `debgu` is none of debug, info, error and fatal: nothing is logged\n\
             {file}:4:3: create.with_clean: invalid type: integer `3`, expected true or false\n"
        )
    );
    let variable = [("GROOTFS_CREATE_OFFLINE", "maybe")];
    let message = "invalid value of the environment variable GROOTFS_CREATE_OFFLINE: must be true or false\n";
    assert_eq!(with_environment(&["config", "check"], &variable), (4, message.to_owned()));
    // By itself, each could be.
    let message = "clean.high_watermark_percent (70) and clean.low_watermark_percent (80) must both be from 1 to 100";
    let (code, text) = check("clean:\n  high_watermark_percent: 70\n  low_watermark_percent: 80\n");
    assert!(code == 4 && text.starts_with(&format!("{file}:3:3: ")) && text.contains(message), "{text}");
    let variables = [("GROOTFS_CLEAN_HIGH_WATERMARK_PERCENT", "70"), ("GROOTFS_CLEAN_LOW_WATERMARK_PERCENT", "80")];
    let (code, text) = with_environment(&["config", "check"], &variables);
    assert!(code == 4 && text.contains(message), "{text}");
    assert_eq!(grootfs(&["--config", "/no/such", "config", "check"]).0, 1);
}

/// What a command line says to people, on a terminal for both standard output and standard error.
fn at_terminal(line: &str) -> (Option<i32>, String) {
    let line = format!("{} {line}", grootfs_binary());
    let outcome = run(support::program("script").args(["--quiet", "--return", "--command", &line, "/dev/null"]));
    (outcome.code, outcome.stdout.replace('\r', ""))
}

#[test]
fn people_at_a_terminal_are_told_of_a_similar_command() {
    let hint = "No help topic for 'craete'\nhint: did you mean `create`?\n";
    assert_eq!(at_terminal("craete"), (Some(3), hint.to_owned()));
    assert_eq!(at_terminal("frobnicate"), (Some(3), "No help topic for 'frobnicate'\n".to_owned()));
}

#[test]
fn a_remedy_is_a_line_of_its_own_where_people_read_it_and_nowhere_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("store");
    fs::create_dir(&store).expect("made");
    let line = format!("--store {} --driver overlay-xfs create oci:///image x", store.display());
    let hint = "Store path is not initialized\nhint: Please run init-store.\n";
    assert_eq!(at_terminal(&line), (Some(1), hint.to_owned()));
    let whole = "Store path is not initialized. Please run init-store.\n".to_owned();
    assert_eq!(at_terminal(&format!("{line} 2>/dev/null")), (Some(1), whole.clone()));
    // What a caller reads is complete, whoever else looks on.
    assert_eq!(at_terminal(&format!("{line} | cat; exit 1")), (Some(1), whole));
}

#[test]
fn a_delete_of_what_is_not_there_is_told_once_to_whoever_looks_on() {
    let store = TempStore::new();
    let line = format!("--store {} delete no-such", store.path().display());
    let said = "Image `no-such` not found. Skipping delete.";
    assert_eq!(at_terminal(&line), (Some(0), format!("{said}\n")));
    let warned = format!("grootfs: warning: {said}\n");
    assert_eq!(at_terminal(&format!("{line} >/dev/null")), (Some(0), warned));
    assert_eq!(at_terminal(&format!("{line} 2>&1 | cat")), (Some(0), format!("{said}\n")));
}

/// The names in a layout are in the message, and whoever wrote the layout chose them.
#[test]
fn what_an_image_says_is_no_remedy() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let index = store.beside("image/index.json");
    let hostile = "x: leave out --disk-limit-inodes";
    let text = fs::read_to_string(&index).expect("an index").replace("\"latest\"", &format!("\"{hostile}\""));
    fs::write(&index, text).expect("written");
    let line = format!("--store {} create {} x", store.path().display(), url.replace(":latest", ":other"));
    let (code, said) = at_terminal(&line);
    assert!(code == Some(1) && said.contains(hostile) && said.lines().count() == 1, "{said}");
}

#[test]
fn people_at_a_terminal_are_warned_of_what_has_no_effect() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    fs::write(&path, "stor: /s\nlog_level: debgu\n").expect("written");
    let line = format!("{} --config {} capacity", grootfs_binary(), path.display());
    let mut script = support::program("script");
    let outcome = run(script.args(["--quiet", "--return", "--command", &line, "/dev/null"]));
    let lines: Vec<_> = outcome.stdout.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "grootfs: warning: unknown key `stor`, which has no effect; did you mean `store`?",
            "grootfs: warning: log_level: `debgu` is none of debug, info, error and fatal: nothing is logged",
            "{\"capacity\":0}",
        ]
    );
    assert_eq!(capacity(&path), (0, "{\"capacity\":0}\n".to_owned()));
}
